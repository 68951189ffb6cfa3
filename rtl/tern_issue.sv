// The program, and the issue of its instructions in order: one goes to its unit when that unit is free, nothing
// writes what it reads, and nothing reads or writes what it writes. A register of a memory has one port to read, so two
// units never read the same one. LOOP's counters are here. Counts what each cycle was.
module tern_issue (
  input  logic clk,
  input  logic rst_n,
  input  logic program_write,  // while nothing runs
  input  logic [tern_pkg::kProgramBits-1:0] program_address,
  input  logic [63:0] program_word,
  input  logic start,
  output logic running,  // until HALT has waited for all units
  output tern_pkg::instruction_t instruction,
  output logic [tern_pkg::kUnits-1:0] issue,  // the instruction goes to this unit
  input  logic [tern_pkg::kUnits-1:0] done,
  output logic [tern_pkg::kUnits-1:0] busy,
  output logic [tern_pkg::kUnits*tern_pkg::kResources-1:0] unit_reads,
  output logic [31:0] layer,
  output logic [tern_pkg::kPassBits-1:0] pass,
  output logic [(tern_pkg::kUnits+tern_pkg::kIssueStates)*tern_pkg::kCounterBits-1:0] counters
);
`include "tern_bug.svh"
  localparam int U = tern_pkg::kUnits;
  localparam int R = tern_pkg::kResources;
  localparam int B = tern_pkg::kProgramBits;
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

  // ---- what it needs, and what is in use ----
  logic [U-1:0] units, units_next;
  logic [R-1:0] reads, reads_next, writes, writes_next, in_reads, in_writes;
  tern_decode decode (.i(word), .units(units_next), .reads(reads_next), .writes(writes_next));
  logic [R-1:0] reads_of[0:U-1];
  logic [R-1:0] writes_of[0:U-1];
  for (genvar u = 0; u < U; u++) begin : g_unit
    always_ff @(posedge clk)
      if (!rst_n | done[u]) begin
        busy[u] <= 1'b0;
        reads_of[u] <= '0;
        writes_of[u] <= '0;
      end else if (issue[u]) begin
        busy[u] <= 1'b1;
        reads_of[u] <= reads;
        writes_of[u] <= writes;
      end
    assign unit_reads[u*R+:R] = reads_of[u];
  end
  always_comb begin
    in_reads = '0;
    in_writes = '0;
    for (int u = 0; u < U; u++) begin
      in_reads |= reads_of[u];
      in_writes |= writes_of[u];
    end
  end
  // scalars and the statistic register are flip-flops, which any number of units reads
  localparam logic [R-1:0] ONE_PORT = {1'b0, 2'b11, 16'd0, 14'h3fff};
  logic storing;  // tiles may lie where a store writes
  logic [tern_pkg::kPassBits:0] next_pass;
  logic is_halt, is_loop, again, unit_waits, source_waits, destination_waits, goes;
  assign is_halt = instruction.op == tern_pkg::kOpHalt;
  assign is_loop = instruction.op == tern_pkg::kOpLoop;
  assign next_pass = {1'b0, pass} + (tern_pkg::kPassBits + 1)'(instruction.flags);
  assign again = next_pass < {1'b0, instruction.vd, instruction.va, instruction.vb, instruction.pa, instruction.pb};
  assign unit_waits = |(units & busy);
  assign source_waits = |(reads & ((in_writes & ~{R{bug == 17}}) | (in_reads & ONE_PORT)))
    | (units[tern_pkg::kProductUnit] & storing);
  assign destination_waits = |(writes & (in_writes | (in_reads & ~{R{bug == 18}})));
  assign goes = state == kReady & ~is_halt & ~unit_waits & ~source_waits & ~destination_waits;
  assign issue = {U{goes}} & units;

  always_ff @(posedge clk) begin
    if (!rst_n) state <= kIdle;
    else
      unique case (state)
        kIdle: if (start) state <= kFetch;
        kFetch: state <= kDecode;
        kDecode: state <= kReady;
        default:
          if (is_halt) state <= busy == '0 ? kIdle : kReady;
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
    if (!rst_n | done[tern_pkg::kMemoryUnit]) storing <= 1'b0;
    else if (issue[tern_pkg::kMemoryUnit]) storing <= instruction.op == tern_pkg::kOpStv;
  end

  // ---- counters ----
  logic [tern_pkg::kIssueStates-1:0] now;
  always_comb begin
    now = '0;
    now[tern_pkg::kIssues] = goes;
    now[tern_pkg::kFetches] = state == kFetch | state == kDecode;
    if (state == kReady & ~goes) begin
      if (is_halt) now[tern_pkg::kWaitsForEnd] = 1'b1;
      else if (unit_waits) now[tern_pkg::kWaitsForUnit] = 1'b1;
      else if (source_waits) now[tern_pkg::kWaitsForSource] = 1'b1;
      else now[tern_pkg::kWaitsForDestination] = 1'b1;
    end
  end
  wire [U+tern_pkg::kIssueStates-1:0] counted = {now, busy};
  for (genvar c = 0; c < U + tern_pkg::kIssueStates; c++) begin : g_counter
    logic [tern_pkg::kCounterBits-1:0] count;
    always_ff @(posedge clk)
      if (state == kIdle & start) count <= '0;
      else count <= count + (tern_pkg::kCounterBits)'(counted[c]);
    assign counters[c*tern_pkg::kCounterBits+:tern_pkg::kCounterBits] = count;
  end

`ifdef TERN_TRACE
  // Two cycles after it is done, when the trace has what it wrote.
  import "DPI-C" function void tern_trace_done(input int unit, input int word);
  for (genvar u = 0; u < U; u++) begin : g_trace
    logic [B-1:0] at, at_1, at_2;
    logic done_1 = 1'b0, done_2 = 1'b0;
    always_ff @(posedge clk) begin
      if (issue[u]) at <= pc;
      at_1 <= at;
      at_2 <= at_1;
      done_1 <= rst_n & done[u];
      done_2 <= done_1;
      if (done_2) tern_trace_done(u, 32'(at_2));
    end
  end
`endif
`ifdef VERILATOR
  for (genvar u = 0; u < U; u++) begin : g_check
    a_busy: assert property (@(posedge clk) disable iff (!rst_n) done[u] |-> busy[u]);
  end
  c_unit: cover property (@(posedge clk) disable iff (!rst_n) state == kReady && unit_waits);
  c_source: cover property (@(posedge clk) disable iff (!rst_n) state == kReady && source_waits);
  c_destination: cover property (@(posedge clk) disable iff (!rst_n) state == kReady && destination_waits);
`endif
endmodule
