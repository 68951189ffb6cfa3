// The sum of a row's squares, P elements of 18 bits a cycle. Marks and `active` as in tern_statistics.
// `done` with the sum comes $clog2(P) + 5 cycles after the last slice.
module tern_square_sum #(
  parameter int P = 16
) (
  input  logic clk,
  input  logic rst_n,
  input  logic [2:0] marks,  // {valid, first, last}
  input  logic [P-1:0] active,
  input  logic [P*tern_pkg::kOperandBits-1:0] x,
  output logic done,
  output logic [tern_pkg::kSquaresBits-1:0] sum
);
  localparam int B = tern_pkg::kOperandBits;
  localparam int LEVELS = $clog2(P);
  for (genvar l = 0; l <= LEVELS; l++) begin : g_level
    localparam int S = 2 * B - 1 + l;  // squares are at most 2^34
    logic [S-1:0] s[0:(P>>l)-1];
    for (genvar i = 0; i < (P >> l); i++) begin : g_sum
      if (l == 0) begin : g_square
        logic signed [B-1:0] x_1;
        logic [2*B-2:0] square, square_3;
        logic unused_sign;
        logic active_3;
        tern_delay #(.WIDTH(1), .CYCLES(3)) delay (.clk, .in(active[i]), .out(active_3));
        tern_multiplier #(.A(B), .B(B)) multiply (.clk, .a(x_1), .b(x_1), .product({unused_sign, square}));
        always_ff @(posedge clk) begin
          x_1 <= x[i*B+:B];
          square_3 <= square;
          s[i] <= {S{active_3}} & S'(square_3);
        end
      end else begin : g_add
        always_ff @(posedge clk) s[i] <= S'(g_level[l-1].s[2*i]) + S'(g_level[l-1].s[2*i+1]);
      end
    end
  end

  logic [2:0] now;
  tern_valid #(.CYCLES(LEVELS + 4)) valid (.clk, .rst_n, .in(marks), .out(now));
  always_ff @(posedge clk) begin
    done <= rst_n & now[2] & now[0];
    if (now[2]) sum <= (now[1] ? '0 : sum) + (tern_pkg::kSquaresBits)'(g_level[LEVELS].s[0]);
  end
endmodule
