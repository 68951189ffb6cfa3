// The nearest value that OUT bits hold, and whether that is another one. SYMMETRIC: without the lowest
// value, -2^(OUT-1). Combinational. Every saturation here but one in two cycles in tern_row_lane.
module tern_saturate #(
  parameter int IN = 55,
  parameter int OUT = 27,
  parameter int SYMMETRIC = 0
) (
  input  logic signed [IN-1:0] value,
  output logic signed [OUT-1:0] result,
  output logic saturated
);
  logic [IN-OUT:0] top;
  logic fits, lowest;
  logic signed [OUT-1:0] near;

  assign top = value[IN-1:OUT-1];
  assign fits = (&top) | ~(|top);
  assign near = fits ? value[OUT-1:0] : {value[IN-1], {(OUT - 1) {~value[IN-1]}}};
  assign lowest = SYMMETRIC != 0 & near[OUT-1] & ~(|near[OUT-2:0]);
  assign result = near | OUT'({1'b0, lowest});
  assign saturated = ~fits | lowest;

`ifdef FORMAL
  localparam int HIGHEST = (1 << (OUT - 1)) - 1;
  localparam int LOWEST = SYMMETRIC != 0 ? -HIGHEST : -HIGHEST - 1;
  always_comb
    if (value > IN'(HIGHEST)) assert (saturated && result == OUT'(HIGHEST));
    else if (value < $signed(IN'(LOWEST))) assert (saturated && result == OUT'(LOWEST));
    else assert (!saturated && IN'(result) == value);
`endif
endmodule
