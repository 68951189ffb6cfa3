// The instructions that units have or will have: each in the queue of its unit, where it waits for as many completions
// of the other units as what it conflicts with is away. A conflict: it reads what the other one writes, or writes what the
// other one reads or writes; or both read a register that is a memory, whose port to read serves one unit.
//
// Two may go while what they read is still written, and follow the writer: the row unit the sums of a product, a product
// the codes of the quantiser. The product's second instruction goes when the array is free, while the first one's sums are
// still written; its tiles are asked for as soon as it is in the queue and no store before it is left.
// Handshake: `put` one for a cycle, to the unit that `units` says, when that is not full; it goes from the next cycle on.
// What it waits for is found in two cycles: units, reads and writes hold from two cycles before, in which none is put.
module tern_scoreboard #(
  parameter int R = tern_pkg::kResources,  // the last one: memory with tiles
  // registers that are memories; scalars and the statistic register are flip-flops, which any number of units reads
  parameter logic [R-1:0] ONE_PORT = R'({1'b0, 1'b0, 2'b11, 16'd0, 14'h3fff})
) (
  input  logic clk,
  input  logic rst_n,
  input  logic [tern_pkg::kUnits-1:0] put,    // `units` for a cycle
  input  logic [tern_pkg::kUnits-1:0] units,  // of `next`: one bit, or none
  input  tern_pkg::work_t next,
  input  logic [R-1:0] reads,
  input  logic [R-1:0] writes,
  output logic [tern_pkg::kUnits-1:0] full,
  output logic [tern_pkg::kUnits-1:0] empty,
  output logic [tern_pkg::kUnits*tern_pkg::kWorkBits-1:0] work,  // work_t of each unit's first instruction
  output tern_pkg::work_t product_next,  // of the product's second one
  output logic [tern_pkg::kUnits-1:0] go,  // a cycle, the one after it went
  output logic product_second,  // it is the second one of the product's
  input  logic [tern_pkg::kUnits-1:0] done,  // the first one is
  output logic [tern_pkg::kUnits-1:0] busy,  // the first one went
  output logic row_follows,  // what it reads is still written by the product's first instruction
  output logic product_follows,  // and the codes of the one whose sums are made by the quantiser's
  output logic [tern_pkg::kUnits*R-1:0] unit_reads,  // of the first one, when it went, a cycle later
  output logic [tern_pkg::kUnits*R-1:0] unit_writes,  // and now
  input  logic array_free,
  output logic fetch,  // a cycle: ask for the tiles, of the product's second instruction if the first one's are asked for
  output logic fetch_next,
  input  logic fetch_ready
);
`include "tern_bug.svh"
  localparam int U = tern_pkg::kUnits;
  localparam int K = tern_pkg::kWorkBits;
  localparam int MEMORY = tern_pkg::kMemoryUnit, ROW = tern_pkg::kRowUnit, QUANTIZER = tern_pkg::kQuantizerUnit;
  localparam int PRODUCT = tern_pkg::kProductUnit;
`ifdef FORMAL
  (* anyconst *) logic [$clog2(R)-1:0] chosen;
  logic [2*U-1:0] held_of, went_of, follower_of, reads_of, writes_of;  // the chosen register
  logic [2*U*U-1:0] waits_1_of, waits_2_of;
`endif

  // ---- what the next instruction waits for, and the queues ----
  localparam logic [R-1:0] TILES = R'(1) << (R - 1);  // a store does not wait for products before it
  localparam int G = 3, PART = (R + G - 1) / G;  // of the resources, compared apart
  logic [2*U-1:0] waits_next;
  for (genvar u = 0; u < U; u++) begin : g_unit
    logic [K-1:0] work_1, work_2;  // work_t
    logic [1:0] held, went, follower, meets, more;  // more: than in reading what this unit's two instructions write
    logic [G-1:0] parts[0:1], parts_next[0:2], more_parts[0:1], more_next[0:2];
    logic [1:0] waits_now;
    logic any_more;
    logic [R-1:0] reads_1, reads_2, writes_1, writes_2;
    logic [2*U-1:0] waits_1, waits_2;
    logic go_second;
    for (genvar s = 0; s < 2; s++) begin : g_met
      wire [R-1:0] its_reads = s == 0 ? reads_1 : reads_2;
      wire [R-1:0] its_writes = s == 0 ? writes_1 : writes_2;
      wire [R-1:0] source = reads & its_writes & ~{R{bug == 17}};
      wire [R-1:0] its = (reads & ONE_PORT | writes & ~TILES & ~{R{bug == 18}}) & its_reads;
      wire [R-1:0] conflicts = {R{held[s]}} & (writes & its_writes | {R{~units[u]}} & (source | its));
      wire [R-1:0] others = {R{held[s]}} & (writes & (its_reads | its_writes) | reads & its_reads & ONE_PORT);
      for (genvar g = 0; g < G; g++) begin : g_part
        localparam int N = g == G - 1 ? R - g * PART : PART;
        assign parts_next[s][g] = |conflicts[g*PART+:N];
        assign more_next[s][g] = |others[g*PART+:N];
      end
      assign meets[s] = |(done[u] ? s == 0 ? parts[1] : '0 : parts[s]);
      assign more[s] = |more_parts[s];
    end
    assign parts_next[2] = '0;
    assign more_next[2] = '0;
    always_ff @(posedge clk) begin
      for (int s = 0; s < 2; s++) begin
        parts[s] <= {G{rst_n}} & (done[u] ? parts_next[s+1] : parts_next[s]);
        more_parts[s] <= done[u] ? more_next[s+1] : more_next[s];
      end
      waits_now <= {2{rst_n}} & (meets[1] & bug != 23 ? 2'd2 : {1'b0, |meets});
      any_more <= done[u] ? more[1] : |more;
    end
    assign waits_next[2*u+:2] = waits_now - {1'b0, done[u] & waits_now != 2'd0};
    localparam int LEADER = u == ROW ? PRODUCT : u == PRODUCT ? QUANTIZER : u;
    tern_queue #(.R(R), .UNIT(u), .LEADER(LEADER), .AHEAD(u == PRODUCT)) queue (
      .clk, .rst_n, .put(put[u]), .work(next), .reads, .writes, .waits(waits_next),
      .follows(LEADER != u & ~g_unit[LEADER].any_more), .done, .ready(u != PRODUCT | array_free), .go(go[u]),
      .go_second, .held, .went, .work_1, .work_2, .reads_1, .reads_2, .writes_1, .writes_2, .waits_1, .waits_2, .follower);
`ifdef FORMAL
    assign held_of[2*u+:2] = held;
    assign went_of[2*u+:2] = went;
    assign follower_of[2*u+:2] = follower;
    assign reads_of[2*u+:2] = {reads_2[chosen], reads_1[chosen]};
    assign writes_of[2*u+:2] = {writes_2[chosen], writes_1[chosen]};
    assign waits_1_of[u*2*U+:2*U] = waits_1;
    assign waits_2_of[u*2*U+:2*U] = waits_2;
`endif
    assign full[u] = held[1];
    assign empty[u] = ~held[0];
    assign busy[u] = went[0];
    assign work[u*K+:K] = bug == 27 ? {work_1[K-1-:64], next[0+:K-64]} : work_1;
    always_ff @(posedge clk) unit_reads[u*R+:R] <= reads_1 & {R{went[0]}};
    assign unit_writes[u*R+:R] = writes_1 & {R{went[0]}};
    wire unused_bits = ^{work_2, waits_1, waits_2, went[1], follower, go_second, any_more};  // but the product's
  end
  assign product_next = g_unit[PRODUCT].work_2;
  assign product_second = g_unit[PRODUCT].go_second;
  assign row_follows = g_unit[ROW].waits_1[2*PRODUCT+:2] != 2'd0;
  assign product_follows = g_unit[PRODUCT].went[1] ? g_unit[PRODUCT].waits_2[2*QUANTIZER+:2] != 2'd0
    : g_unit[PRODUCT].waits_1[2*QUANTIZER+:2] != 2'd0;

  // ---- tiles, in the order of the products: not while a store before them is not done ----
  logic [1:0] asked, ask_at, stored;
  assign stored[0] = g_unit[PRODUCT].waits_1[2*MEMORY+:2] == 2'd0 | bug == 24;
  assign stored[1] = g_unit[PRODUCT].waits_2[2*MEMORY+:2] == 2'd0 | bug == 24;
  assign ask_at[0] = g_unit[PRODUCT].held[0] & fetch_ready & stored[0] & ~asked[0];
  assign ask_at[1] = g_unit[PRODUCT].held[1] & fetch_ready & stored[1] & ~asked[1] & asked[0];
  assign fetch = |ask_at;
  assign fetch_next = asked[0];
  always_ff @(posedge clk) asked <= {2{rst_n}} & (asked | ask_at) >> done[PRODUCT];

`ifdef VERILATOR
  a_compared: assert property (@(posedge clk) disable iff (!rst_n)
    |put |-> !$past(|put) && !$past(|put, 2) && {units, reads, writes} == $past({units, reads, writes})
    && {units, reads, writes} == $past({units, reads, writes}, 2));
`endif
`ifdef FORMAL
  // For a register and two units that the solver chooses: of instructions that conflict, one waits for the other, so none
  // runs while the other writes what it reads or writes, or reads what it writes; but one that follows reads what is
  // written.
  (* anyconst *) logic [2:0] one, other;
  logic past_reset = 1'b0, put_1, put_2;
  logic [U-1:0] units_1, units_2;
  logic [R-1:0] reads_1, writes_1, reads_2, writes_2;
  always_ff @(posedge clk) begin
    past_reset <= 1'b1;
    {put_1, units_1, reads_1, writes_1} <= {|put, units, reads, writes};
    {put_2, units_2, reads_2, writes_2} <= {put_1, units_1, reads_1, writes_1};
  end
  always_comb begin
    assume (chosen < ($clog2(R))'(R - 1));
    assume (one < 3'(U) && other < 3'(U) && one != other);
    assume ((done & ~busy) == '0);
    assume ((units & (units - 1'b1)) == '0 && (put == '0 || put == units) && (put & full) == '0);
    assume (put == '0 || (!put_1 && !put_2 && units == units_1 && reads == reads_1 && writes == writes_1
      && units == units_2 && reads == reads_2 && writes == writes_2));
    if (!past_reset) assume (!rst_n);
  end
  for (genvar k = 0; k < 8; k++) begin : g_prove
    localparam int S = k & 1, T = (k >> 1) & 1;  // places in the queues of a and of b
    wire [2:0] a = k < 4 ? one : other, b = k < 4 ? other : one;
    wire [1:0] held_b = held_of[2*b+:2], a_waits, b_waits;
    wire leader_a = a == 3'(ROW) ? b == 3'(PRODUCT) : a == 3'(PRODUCT) & b == 3'(QUANTIZER);
    wire leader_b = b == 3'(ROW) ? a == 3'(PRODUCT) : b == 3'(PRODUCT) & a == 3'(QUANTIZER);
    assign a_waits = S == 0 ? waits_1_of[2*(a*U+b)+:2] : waits_2_of[2*(a*U+b)+:2];
    assign b_waits = T == 0 ? waits_1_of[2*(b*U+a)+:2] : waits_2_of[2*(b*U+a)+:2];
    wire reads_a = reads_of[2*a+S], writes_a = writes_of[2*a+S], reads_b = reads_of[2*b+T], writes_b = writes_of[2*b+T];
    wire both = held_of[2*a+S] & held_b[T];
    wire a_follows = leader_a & follower_of[2*a+S] & a_waits > 2'(T);
    wire b_follows = leader_b & follower_of[2*b+T] & b_waits > 2'(S);
    wire hurts = (writes_a & (reads_b | writes_b)) | (reads_a & reads_b & ONE_PORT[chosen]);
    always_comb
      if (past_reset) begin
        if (held_of[2*a+S]) assert (a_waits <= {1'b0, held_b[0]} + {1'b0, held_b[1]});
        if (both & (hurts | (reads_a & writes_b))) assert (a_waits > 2'(T) || b_waits > 2'(S));
        if (both & a_follows) assert (!hurts);
        if (both & went_of[2*a+S] & went_of[2*b+T]) assert (!hurts || b_follows);
      end
  end
`endif
endmodule
