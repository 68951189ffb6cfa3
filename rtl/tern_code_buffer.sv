// A row's codes: written IN at a time by the quantiser, each where its bit of `write` is set, and read OUT at a time by the
// ternary product. What was not written since is old; the product's padding weights are 0. Read latency 1; no handshake.
// What is written while it is read does not count, as in tern_register.
module tern_code_buffer #(
  parameter int IN = 16,
  parameter int OUT = 16,    // a multiple of IN
  parameter int DEPTH = 512  // words of OUT codes
) (
  input  logic clk,
  input  logic [IN-1:0] write,
  input  logic [$clog2(DEPTH*OUT/IN)-1:0] write_address,  // in groups of IN codes
  input  logic [IN*8-1:0] write_codes,
  input  logic [$clog2(DEPTH)-1:0] read_address,
  output logic [OUT*8-1:0] read_codes
);
  localparam int PARTS = OUT / IN;
  localparam int A = $clog2(DEPTH);
  localparam int S = $clog2(PARTS);
  if (PARTS * IN != OUT || (1 << S) != PARTS) $error("OUT: expected IN times a power of two");

  for (genvar i = 0; i < PARTS; i++) begin : g_part
    logic here;
    if (PARTS == 1) begin : g_one
      assign here = 1'b1;
    end else begin : g_several
      assign here = write_address[S-1:0] == S'(i);
    end
    for (genvar c = 0; c < IN; c++) begin : g_code
      (* ram_style = "block", no_rw_check *) logic [7:0] memory[0:DEPTH-1];
      always_ff @(posedge clk) begin
        if (write[c] & here) memory[write_address[A+S-1:S]] <= write_codes[c*8+:8];
        read_codes[(i*IN+c)*8+:8] <= memory[read_address];
      end
    end
  end
endmodule
