// floor(sqrt(radicand)), a bit a cycle, from the highest.
// `done` comes BITS + 1 cycles after `start`, for one cycle; the root stays until the next start.
module tern_root #(
  parameter int BITS = 24
) (
  input  logic clk,
  input  logic rst_n,
  input  logic start,
  input  logic [2*BITS-1:0] radicand,
  output logic done,
  output logic [BITS-1:0] root
);
  localparam int N = $clog2(BITS + 1);
  logic [N-1:0] left;  // steps
  logic [2*BITS-1:0] rest;  // bits of the radicand that are not used yet, at the top
  logic [BITS:0] remainder;
  logic [BITS+1:0] trial;
  logic [BITS+2:0] next, less;

  assign next = {remainder, rest[2*BITS-1:2*BITS-2]};
  assign trial = {root, 2'b01};
  assign less = next - {1'b0, trial};

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      left <= '0;
      done <= 1'b0;
    end else begin
      left <= start ? N'(BITS) : left - N'(left != '0);
      done <= ~start & left == N'(1);
    end
    if (start) begin
      rest <= radicand;
      remainder <= '0;
      root <= '0;
    end else if (left != '0) begin
      rest <= {rest[2*BITS-3:0], 2'b00};
      remainder <= less[BITS+2] ? next[BITS:0] : less[BITS:0];
      root <= {root[BITS-2:0], ~less[BITS+2]};
    end
  end

`ifdef FORMAL
  // the bits that were used = root^2 + remainder, remainder <= 2 root
  localparam int W = 2 * BITS + 2;
  logic past_reset = 1'b0, begun;
  logic [2*BITS-1:0] whole;
  wire [N:0] unused = {left, 1'b0};  // bits
  wire [N-1:0] steps = N'(BITS) - left;
  always_ff @(posedge clk) begin
    past_reset <= 1'b1;
    begun <= rst_n & (start | begun);
    if (start) whole <= radicand;
  end
  always_comb begin
    if (!past_reset) assume (!rst_n);
    if (past_reset & ~begun) assert (left == '0 && !done);
    if (past_reset & begun) begin
      assert (left <= N'(BITS));
      assert (W'(whole) >> unused == W'(root) * W'(root) + W'(remainder));
      assert (W'(remainder) <= {W'(root), 1'b0});
      assert (rest == whole << {steps, 1'b0});
      assert (root >> steps == '0);
      if (done) begin
        assert (left == '0);
        assert (W'(root) * W'(root) <= W'(whole));
        assert (W'(whole) - W'(root) * W'(root) <= {W'(root), 1'b0});
      end
    end
  end
`endif
endmodule
