// The largest of N unsigned values. Latency $clog2(N).
module tern_max #(
  parameter int N = 16,  // a power of two
  parameter int WIDTH = 42
) (
  // verilator lint_off UNUSEDSIGNAL
  input  logic clk,  // not used where N is 1
  // verilator lint_on UNUSEDSIGNAL
  input  logic [N*WIDTH-1:0] values,
  output logic [WIDTH-1:0] largest
);
  localparam int LEVELS = $clog2(N);
  for (genvar l = 0; l <= LEVELS; l++) begin : g_level
    logic [WIDTH-1:0] m[0:(N>>l)-1];
    for (genvar i = 0; i < (N >> l); i++) begin : g_value
      if (l == 0) assign m[i] = values[i*WIDTH+:WIDTH];
      else
        always_ff @(posedge clk)
          m[i] <= g_level[l-1].m[2*i] > g_level[l-1].m[2*i+1] ? g_level[l-1].m[2*i] : g_level[l-1].m[2*i+1];
    end
  end
  assign largest = g_level[LEVELS].m[0];
endmodule
