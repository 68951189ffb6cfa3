// Walks over the slices of a vector, one a cycle while `there`: the address to read, and four cycles later, with what
// was read, chosen from the registers, the marks of the slice and its elements that are active.
module tern_walk #(
  parameter int P = 16,
  parameter int SLICES = 64
) (
  input  logic clk,
  input  logic rst_n,
  input  logic start,
  input  logic [tern_pkg::kColumnBits-1:0] length,  // > 0, holds
  output logic [$clog2(SLICES)-1:0] address,
  input  logic there,  // the slice at `address` may be read
  output logic [2:0] marks,  // {valid, first, last}
  output logic [P-1:0] active
);
  localparam int C = tern_pkg::kColumnBits;
  localparam int A = $clog2(SLICES);
  logic running, at_end, step;
  logic [C-1:0] last, last_lane;
  logic [2:0] marks_1;
  logic [P-1:0] active_1;
  assign last_lane = last & C'(P - 1);
  assign at_end = C'(address) == last >> $clog2(P);
  assign step = running & there;
  always_ff @(posedge clk) begin
    if (!rst_n) running <= 1'b0;
    else running <= start | (running & ~(step & at_end));
    last <= length - 1'b1;
    if (start) address <= '0;
    else if (step) address <= address + A'(1);
    marks_1 <= {rst_n & step, address == '0, at_end};
    for (int i = 0; i < P; i++) active_1[i] <= ~at_end | C'(i) <= last_lane;
  end
  tern_valid #(.CYCLES(3)) delay_marks (.clk, .rst_n, .in(marks_1), .out(marks));
  tern_delay #(.WIDTH(P), .CYCLES(3)) delay_active (.clk, .in(active_1), .out(active));
endmodule
