// A vector register: LANES words a slice, each with its own write enable, one port to read and one to write.
// Read latency 3, with a register before the memory and one behind it. What is written in the cycle after that of its
// address is nothing that counts: a simulation reads it as it was, a chip anything.
module tern_register #(
  parameter int LANES = 16,
  parameter int BITS = 32,
  parameter int SLICES = 64,
  parameter int NUMBER = 0  // of the register, for the trace of a simulation
) (
  input  logic clk,
  input  logic [LANES-1:0] write,
  input  logic [$clog2(SLICES)-1:0] write_address,
  input  logic [LANES*BITS-1:0] write_data,
  input  logic [$clog2(SLICES)-1:0] read_address,
  output logic [LANES*BITS-1:0] read_data
);
`ifdef TERN_TRACE
  // What the memory holds behind a write, a cycle later.
  import "DPI-C" function void tern_trace_word(input int number, input int word, input int value);
`endif
  for (genvar i = 0; i < LANES; i++) begin : g_lane
    (* no_rw_check *) logic [BITS-1:0] memory[0:SLICES-1];
    logic [$clog2(SLICES)-1:0] at_read;
    logic [BITS-1:0] word;
    always_ff @(posedge clk) begin
      if (write[i]) memory[write_address] <= write_data[i*BITS+:BITS];
      at_read <= read_address;
      word <= memory[at_read];
      read_data[i*BITS+:BITS] <= word;
    end
`ifdef TERN_TRACE
    logic written = 1'b0;
    logic [$clog2(SLICES)-1:0] at;
    always_ff @(posedge clk) begin
      written <= write[i];
      at <= write_address;
      if (written) tern_trace_word(NUMBER, 32'(at) * LANES + i, 32'(memory[at]));
    end
`endif
  end
endmodule
