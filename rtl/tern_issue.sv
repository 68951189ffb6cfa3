// The program, and the issue of its instructions in order: each goes to the scoreboard, to the queue of its unit, when that
// has room. LOOP's counters are here. Counts what each cycle was.
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
  output logic [tern_pkg::kUnits-1:0] go,  // a cycle, the one after it went
  output logic product_second,  // it is the second one of the product's
  input  logic [tern_pkg::kUnits-1:0] done,  // the first one is
  output logic [tern_pkg::kUnits*tern_pkg::kResources-1:0] unit_reads,  // of the first one, when it went, a cycle later
  output logic [tern_pkg::kUnits*tern_pkg::kResources-1:0] unit_writes,  // and now
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
  typedef enum logic [2:0] {kIdle, kFetch, kRead, kDecode, kMeet, kReady} state_e;
  state_e state;
  assign running = state != kIdle;

  // ---- the program: a word comes two cycles behind its address; in kDecode it is that of pc ----
  (* no_rw_check *) logic [63:0] memory[0:(1<<B)-1];
  logic [63:0] read_word, word;
  logic [B-1:0] pc, read_at;
  assign read_at = state == kFetch ? pc : pc + 1'b1;
  always_ff @(posedge clk) begin
    if (program_write) memory[program_address] <= program_word;
    read_word <= memory[read_at];
    word <= read_word;
  end

  // ---- the next instruction ----
  tern_pkg::instruction_t instruction;
  logic [31:0] layer;
  logic [tern_pkg::kPassBits-1:0] pass;
  logic [U-1:0] units, units_next, full, empty, busy;
  logic [R-1:0] reads, reads_next, writes, writes_next;
  logic [tern_pkg::kPassBits:0] next_pass;
  // for LOOP, in registers from kReady on: whether there is another pass, and the counters of that
  logic [tern_pkg::kPassBits-1:0] looped_pass;
  logic [31:0] looped_layer;
  logic is_halt, is_loop, again, goes, went;
  logic [U-1:0] put;  // a cycle after it goes, while the instruction is still there
  tern_decode decode (.i(word), .units(units_next), .reads(reads_next), .writes(writes_next));
  assign is_halt = instruction.op == tern_pkg::kOpHalt;
  assign is_loop = instruction.op == tern_pkg::kOpLoop;
  assign next_pass = {1'b0, pass} + (tern_pkg::kPassBits + 1)'(instruction.flags);
  assign goes = state == kReady & ~is_halt & ~|(units & full);
  always_ff @(posedge clk) begin
    again <= next_pass < {1'b0, instruction.vd, instruction.va, instruction.vb, instruction.pa, instruction.pb};
    looped_pass <= next_pass[tern_pkg::kPassBits-1:0];
    looped_layer <= layer + instruction.imm + (bug == 19 ? 32'd64 : '0);
    went <= rst_n & goes;
    put <= {U{rst_n & goes}} & units;
    if (!rst_n) state <= kIdle;
    else
      unique case (state)
        kIdle: if (start) state <= kFetch;
        kFetch: state <= kRead;
        kRead: state <= kDecode;
        kDecode: state <= kMeet;  // then the scoreboard compares it with what is there
        kMeet: state <= kReady;
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
    end else begin
      if (goes) pc <= is_loop & again ? {instruction.sd, instruction.sa} : pc + 1'b1;
      if (went & is_loop) begin  // it is still there, and so is `again`
        pass <= again ? looped_pass : '0;
        layer <= again ? looped_layer : '0;
      end
    end
  end

  tern_scoreboard scoreboard (
    .clk, .rst_n, .put, .units, .next({instruction, layer, pass}), .reads, .writes, .full, .empty, .work,
    .product_next, .go, .product_second, .done, .busy, .row_follows, .product_follows, .unit_reads, .unit_writes,
    .array_free, .fetch, .fetch_next, .fetch_ready);

  // ---- counters ----
  logic begun, fetched, waited;  // in the cycle before, as `went`; the last cycles are those of HALT
  logic [tern_pkg::kIssueStates-1:0] now;
  always_ff @(posedge clk) begin
    begun <= state == kIdle & start;
    fetched <= state == kFetch | state == kRead | state == kDecode | state == kMeet;
    waited <= state == kReady & ~goes & ~is_halt;
  end
  always_comb begin
    now = '0;
    now[tern_pkg::kIssues] = went;
    now[tern_pkg::kFetches] = fetched;
    now[tern_pkg::kWaitsForQueue] = waited;
    now[tern_pkg::kWaitsForEnd] = state == kReady & is_halt;
  end
  wire [tern_pkg::kCounters-1:0] counted = {array, now, busy};
  for (genvar c = 0; c < tern_pkg::kCounters; c++) begin : g_counter
    logic [tern_pkg::kCounterBits-1:0] count;
    always_ff @(posedge clk)
      if (begun) count <= '0;
      else count <= count + (tern_pkg::kCounterBits)'(counted[c]);
    assign counters[c*tern_pkg::kCounterBits+:tern_pkg::kCounterBits] = count;
  end

`ifdef VERILATOR
  for (genvar u = 0; u < U; u++) begin : g_cover
    c_waits: cover property (@(posedge clk) disable iff (!rst_n) !empty[u] && !busy[u]);
    c_full: cover property (@(posedge clk) disable iff (!rst_n) state == kReady && units[u] && full[u]);
  end
  c_sums: cover property (@(posedge clk) disable iff (!rst_n) busy[tern_pkg::kRowUnit] && row_follows);
  c_codes: cover property (@(posedge clk) disable iff (!rst_n) busy[tern_pkg::kProductUnit] && product_follows);
`endif
`ifdef TERN_TRACE
  // Two cycles after it is done, when the trace has what it wrote.
  import "DPI-C" function void tern_trace_done(input int unit, input int word);
  for (genvar u = 0; u < U; u++) begin : g_trace
    logic [B-1:0] pc_1, pc_2, at_1, at_2;
    logic done_1 = 1'b0, done_2 = 1'b0;
    wire put_1 = put[u] & (empty[u] | done[u]);
    always_ff @(posedge clk) begin
      if (put_1 | done[u]) pc_1 <= put_1 ? pc - 1'b1 : pc_2;
      if (put[u]) pc_2 <= pc - 1'b1;
      at_1 <= pc_1;
      at_2 <= at_1;
      done_1 <= rst_n & done[u];
      done_2 <= done_1;
      if (done_2) tern_trace_done(u, 32'(at_2));
    end
  end
`endif
endmodule
