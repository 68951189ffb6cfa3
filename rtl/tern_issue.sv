// The program, and its instructions on their way: each goes, in order, to the queue of its unit, where it waits for as many
// completions of the other units as what it conflicts with is away. A conflict: it reads what the other one writes, or
// writes what the other one reads or writes; or both read a register that is a memory, whose port to read serves one unit.
//
// Two may go while what they read is still written, and follow the writer: the row unit the sums of a product, a product
// the codes of the quantiser. The product's second instruction goes when the array is free, while the first one's sums are
// still written; its tiles are asked for as soon as it is in the queue.
// LOOP's counters are here. Counts what each cycle was.
module tern_issue (
  input  logic clk,
  input  logic rst_n,
  input  logic program_write,  // while nothing runs
  input  logic [tern_pkg::kProgramBits-1:0] program_address,
  input  logic [63:0] program_word,
  input  logic start,
  output logic running,  // until HALT has waited for all units
  output logic [tern_pkg::kUnits*tern_pkg::kWorkBits-1:0] work,  // work_t of each unit's first instruction
  output tern_pkg::work_t product_next,  // of the product's second one
  output logic [tern_pkg::kUnits-1:0] go,  // a cycle; of the product it is the second one if the first one went
  input  logic [tern_pkg::kUnits-1:0] done,  // the first one is
  output logic [tern_pkg::kUnits-1:0] busy,  // the first one went
  output logic [tern_pkg::kUnits*tern_pkg::kResources-1:0] unit_reads,  // of the first one, when it went
  output logic row_follows,  // what it reads is still written by the product's first instruction
  output logic product_follows,  // and the codes of the one whose sums are made by the quantiser's
  input  logic array_free,
  output logic fetch,  // a cycle: ask for the tiles, of the product's second instruction if the first one's are asked for
  output logic fetch_next,
  input  logic fetch_ready,
  input  logic [tern_pkg::kArrayStates-1:0] array,
  output logic [tern_pkg::kCounters*tern_pkg::kCounterBits-1:0] counters
);
`include "tern_bug.svh"
  localparam int U = tern_pkg::kUnits;
  localparam int R = tern_pkg::kResources;
  localparam int B = tern_pkg::kProgramBits;
  localparam int K = tern_pkg::kWorkBits;
  localparam int PRODUCT = tern_pkg::kProductUnit;
  typedef enum logic [1:0] {kIdle, kFetch, kDecode, kReady} state_e;
  state_e state;
  assign running = state != kIdle;

  // ---- the program: in kDecode `word` is that of pc, in kReady the next one ----
  logic [63:0] memory[0:(1<<B)-1];
  logic [63:0] word;
  logic [B-1:0] pc, read_at;
  assign read_at = state == kFetch ? pc : pc + 1'b1;
  always_ff @(posedge clk) begin
    if (program_write) memory[program_address] <= program_word;
    word <= memory[read_at];
  end

  // ---- the next instruction ----
  tern_pkg::instruction_t instruction;
  logic [31:0] layer;
  logic [tern_pkg::kPassBits-1:0] pass;
  logic [U-1:0] units, units_next, full, empty;
  logic [R-1:0] reads, reads_next, writes, writes_next;
  logic [tern_pkg::kPassBits:0] next_pass;
  logic is_halt, is_loop, again, goes;
  tern_decode decode (.i(word), .units(units_next), .reads(reads_next), .writes(writes_next));
  assign is_halt = instruction.op == tern_pkg::kOpHalt;
  assign is_loop = instruction.op == tern_pkg::kOpLoop;
  assign next_pass = {1'b0, pass} + (tern_pkg::kPassBits + 1)'(instruction.flags);
  assign again = next_pass < {1'b0, instruction.vd, instruction.va, instruction.vb, instruction.pa, instruction.pb};
  assign goes = state == kReady & ~is_halt & ~|(units & full);
  always_ff @(posedge clk) begin
    if (!rst_n) state <= kIdle;
    else
      unique case (state)
        kIdle: if (start) state <= kFetch;
        kFetch: state <= kDecode;
        kDecode: state <= kReady;
        default:
          if (is_halt) state <= &empty ? kIdle : kReady;
          else if (goes) state <= is_loop & again ? kFetch : kDecode;
      endcase
    if (state == kDecode) begin
      instruction <= word;
      units <= units_next;
      reads <= reads_next;
      writes <= writes_next;
    end
    if (state == kIdle) begin
      pc <= '0;
      pass <= '0;
      layer <= '0;
    end else if (goes) begin
      pc <= is_loop & again ? {instruction.sd, instruction.sa} : pc + 1'b1;
      if (is_loop) begin
        pass <= again ? next_pass[tern_pkg::kPassBits-1:0] : '0;
        layer <= again ? layer + instruction.imm + (bug == 19 ? 32'd64 : '0) : '0;
      end
    end
  end

  // ---- what the next instruction waits for, and the queues ----
  // scalars and the statistic register are flip-flops, which any number of units reads
  localparam logic [R-1:0] ONE_PORT = {1'b0, 1'b0, 2'b11, 16'd0, 14'h3fff};
  localparam logic [R-1:0] TILES = R'(1) << tern_pkg::kTilesAt;  // a store does not wait for products before it
  logic [2*U-1:0] waits_next;
  logic [U-1:0] overwrites;  // what this unit's instructions read or write
  logic [1:0] leads[0:U-1];
  for (genvar u = 0; u < U; u++) begin : g_unit
    tern_pkg::work_t work_1, work_2;
    logic [1:0] held, went, meets;
    logic [R-1:0] reads_1, reads_2, writes_1, writes_2;
    logic [2*U-1:0] waits_1, waits_2;
    for (genvar s = 0; s < 2; s++) begin : g_met
      wire [R-1:0] its_reads = s == 0 ? reads_1 : reads_2;
      wire [R-1:0] its_writes = s == 0 ? writes_1 : writes_2;
      wire [R-1:0] source = reads & ((its_writes & ~{R{bug == 17}}) | (its_reads & ONE_PORT));
      wire [R-1:0] destination = writes & ~TILES & its_reads & ~{R{bug == 18}};
      assign meets[s] = held[s] & (|(writes & its_writes) | (~units[u] & |(source | destination)));
    end
    assign waits_next[2*u+:2] = (meets[1] & bug != 23 ? 2'd2 : {1'b0, |meets}) - {1'b0, done[u] & |meets};
    assign overwrites[u] = |(writes & ({R{held[0]}} & (reads_1 | writes_1) | {R{held[1]}} & (reads_2 | writes_2)));
    localparam int LEADER = u == tern_pkg::kRowUnit ? PRODUCT : u == PRODUCT ? tern_pkg::kQuantizerUnit : u;
    tern_queue #(.UNIT(u), .LEADER(LEADER), .AHEAD(u == PRODUCT)) queue (
      .clk, .rst_n, .put(goes & units[u]), .work({instruction, layer, pass}), .reads, .writes, .waits(waits_next),
      .follows(LEADER != u & ~overwrites[LEADER]), .done, .ready(u != PRODUCT | array_free), .go(go[u]), .held, .went,
      .work_1, .work_2, .reads_1, .reads_2, .writes_1, .writes_2, .waits_1, .waits_2, .leads(leads[u]));
    assign full[u] = held[1];
    assign empty[u] = ~held[0];
    assign busy[u] = went[0];
    assign work[u*K+:K] = bug == 27 ? {work_1.i, layer, pass} : work_1;
    assign unit_reads[u*R+:R] = reads_1 & {R{went[0]}};
    wire unused_bits = ^{work_2, waits_1, waits_2, went[1]};  // but the product's
  end
  assign product_next = g_unit[PRODUCT].work_2;
  assign row_follows = leads[tern_pkg::kRowUnit][0];
  assign product_follows = leads[PRODUCT][g_unit[PRODUCT].went[1]];

  // ---- tiles, in the order of the products: not while a store before them is not done ----
  logic [1:0] asked, ask_at, stored;
  assign stored[0] = g_unit[PRODUCT].waits_1[2*tern_pkg::kMemoryUnit+:2] == 2'd0 | bug == 24;
  assign stored[1] = g_unit[PRODUCT].waits_2[2*tern_pkg::kMemoryUnit+:2] == 2'd0 | bug == 24;
  assign ask_at[0] = g_unit[PRODUCT].held[0] & fetch_ready & stored[0] & ~asked[0];
  assign ask_at[1] = g_unit[PRODUCT].held[1] & fetch_ready & stored[1] & ~asked[1] & asked[0];
  assign fetch = |ask_at;
  assign fetch_next = asked[0];
  always_ff @(posedge clk) asked <= {2{rst_n}} & (asked | ask_at) >> done[PRODUCT];

  // ---- counters ----
  logic [tern_pkg::kIssueStates-1:0] now;
  always_comb begin
    now = '0;
    now[tern_pkg::kIssues] = goes;
    now[tern_pkg::kFetches] = state == kFetch | state == kDecode;
    now[tern_pkg::kWaitsForQueue] = state == kReady & ~goes & ~is_halt;
    now[tern_pkg::kWaitsForEnd] = state == kReady & is_halt;
  end
  wire [tern_pkg::kCounters-1:0] counted = {array, now, busy};
  for (genvar c = 0; c < tern_pkg::kCounters; c++) begin : g_counter
    logic [tern_pkg::kCounterBits-1:0] count;
    always_ff @(posedge clk)
      if (state == kIdle & start) count <= '0;
      else count <= count + (tern_pkg::kCounterBits)'(counted[c]);
    assign counters[c*tern_pkg::kCounterBits+:tern_pkg::kCounterBits] = count;
  end

`ifdef VERILATOR
  for (genvar u = 0; u < U; u++) begin : g_cover
    c_waits: cover property (@(posedge clk) disable iff (!rst_n) !empty[u] && !busy[u] && !go[u]);
    c_full: cover property (@(posedge clk) disable iff (!rst_n) state == kReady && units[u] && full[u]);
  end
  c_sums: cover property (@(posedge clk) disable iff (!rst_n) busy[tern_pkg::kRowUnit] && row_follows);
  c_codes: cover property (@(posedge clk) disable iff (!rst_n) busy[PRODUCT] && product_follows);
`endif
`ifdef TERN_TRACE
  // Two cycles after it is done, when the trace has what it wrote.
  import "DPI-C" function void tern_trace_done(input int unit, input int word);
  for (genvar u = 0; u < U; u++) begin : g_trace
    logic [B-1:0] pc_1, pc_2, at_1, at_2;
    logic done_1 = 1'b0, done_2 = 1'b0;
    wire put = goes & units[u];
    wire put_1 = put & (empty[u] | done[u]);
    always_ff @(posedge clk) begin
      if (put_1 | done[u]) pc_1 <= put_1 ? pc : pc_2;
      if (put) pc_2 <= pc;
      at_1 <= pc_1;
      at_2 <= at_1;
      done_1 <= rst_n & done[u];
      done_2 <= done_1;
      if (done_2) tern_trace_done(u, 32'(at_2));
    end
  end
`endif
endmodule
