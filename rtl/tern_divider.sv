// floor(a 2^n / b) for a, b in [2^(BITS-1), 2^BITS), with the n that gives a quotient of BITS bits:
// BITS - 1 where a >= b, which `whole` tells, and BITS otherwise. Restoring, a bit a cycle.
// `done` comes BITS + 2 cycles after `start`, for one cycle; results stay until the next start.
module tern_divider #(
  parameter int BITS = 24
) (
  input  logic clk,
  input  logic rst_n,
  input  logic start,
  input  logic [BITS-1:0] a,
  input  logic [BITS-1:0] b,
  output logic done,
  output logic [BITS-1:0] quotient,
  output logic whole
);
  localparam int STEPS = BITS + 1;
  localparam int N = $clog2(STEPS + 1);
  logic [N-1:0] left;  // steps
  logic [BITS:0] remainder;
  logic [BITS-1:0] divisor;
  logic [BITS:0] bits;
  logic [BITS+1:0] less;  // remainder - divisor; its highest bit: negative

  assign less = {1'b0, remainder} - {2'b0, divisor};
  assign whole = bits[BITS];
  assign quotient = whole ? bits[BITS:1] : bits[BITS-1:0];

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      left <= '0;
      done <= 1'b0;
    end else begin
      left <= start ? N'(STEPS) : left - N'(left != '0);
      done <= ~start & left == N'(1);
    end
    if (start) begin
      remainder <= {1'b0, a};
      divisor <= b;
      bits <= '0;
    end else if (left != '0) begin
      remainder <= less[BITS+1] ? {remainder[BITS-1:0], 1'b0} : {less[BITS-1:0], 1'b0};
      bits <= {bits[BITS-1:0], ~less[BITS+1]};
    end
  end

`ifdef FORMAL
  // a 2^steps = 2 bits b + remainder, remainder < 2 b; so at the end bits = floor(a 2^BITS / b)
  localparam int W = 2 * BITS + 3;
  logic past_reset = 1'b0, begun;
  logic [BITS-1:0] dividend;
  wire [N-1:0] steps = N'(STEPS) - left;
  wire [W-1:0] scaled = W'(dividend) << (whole ? BITS - 1 : BITS);
  always_ff @(posedge clk) begin
    past_reset <= 1'b1;
    begun <= rst_n & (start | begun);
    if (start) dividend <= a;
  end
  always_comb begin
    if (!past_reset) assume (!rst_n);
    if (start) assume (a[BITS-1] && b[BITS-1]);
    if (past_reset & ~begun) assert (left == '0 && !done);
    if (past_reset & begun) begin
      assert (left <= N'(STEPS));
      assert (dividend[BITS-1] && divisor[BITS-1]);
      assert (W'(dividend) << steps == W'({bits, 1'b0}) * W'(divisor) + W'(remainder));
      assert ({1'b0, remainder} < {1'b0, divisor, 1'b0});
      if (done) begin
        assert (left == '0);
        assert (quotient[BITS-1]);
        assert (whole == (dividend >= divisor));
        assert (W'(quotient) * W'(divisor) <= scaled);
        assert (scaled - W'(quotient) * W'(divisor) < W'(divisor));
      end
    end
  end
`endif
endmodule
