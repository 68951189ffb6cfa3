// One port to memory for two that read: requests of the first go first, and what comes, in the order of the requests,
// goes to whom it belongs. Requests are bursts in beats; all handshakes ready/valid.
module tern_memory_port #(
  parameter int W = 512,
  parameter int PENDING = 16  // requests under way
) (
  input  logic clk,
  input  logic rst_n,
  input  logic a_valid,
  output logic a_ready,
  input  logic [31:0] a_address,
  input  logic [8:0] a_beats,
  output logic a_beat_valid,
  input  logic a_beat_ready,
  input  logic b_valid,
  output logic b_ready,
  input  logic [31:0] b_address,
  input  logic [8:0] b_beats,
  output logic b_beat_valid,
  input  logic b_beat_ready,
  output logic read_valid,
  input  logic read_ready,
  output logic [31:0] read_address,  // counts bytes
  output logic [8:0] read_beats,
  input  logic beat_valid,
  output logic beat_ready
);
  localparam int SHIFT = $clog2(W / 8);
  logic a_asks, b_asks, a_goes, b_goes, b_holds, order_ready, known, of_b, last;
  logic [31:0] a_from, b_from;
  logic [8:0] a_length, b_length, length, at;
  logic [$clog2(PENDING)+1:0] unused_count;
  tern_skid #(.WIDTH(41)) skid_a (
    .clk, .rst_n, .in_valid(a_valid), .in_ready(a_ready), .in_data({a_address, a_beats}), .out_valid(a_asks),
    .out_ready(a_goes), .out_data({a_from, a_length}));
  tern_skid #(.WIDTH(41)) skid_b (
    .clk, .rst_n, .in_valid(b_valid), .in_ready(b_ready), .in_data({b_address, b_beats}), .out_valid(b_asks),
    .out_ready(b_goes), .out_data({b_from, b_length}));
  // What is offered stays until it is taken.
  wire take_b = ~a_asks | b_holds;
  wire taken = read_ready & order_ready;
  assign a_goes = taken & ~take_b;
  assign b_goes = taken & take_b;
  assign read_valid = (a_asks | b_asks) & order_ready;
  assign read_address = (take_b ? b_from : a_from) << SHIFT;
  assign read_beats = take_b ? b_length : a_length;
  always_ff @(posedge clk) b_holds <= rst_n & b_asks & take_b & ~taken;
  tern_fifo #(.WIDTH(10), .DEPTH(PENDING)) order (
    .clk, .rst_n, .in_valid(read_valid & read_ready), .in_ready(order_ready), .in_data({take_b, read_beats}),
    .out_valid(known), .out_ready(last), .out_data({of_b, length}), .count(unused_count));
  assign a_beat_valid = beat_valid & known & ~of_b;
  assign b_beat_valid = beat_valid & known & of_b;
  assign beat_ready = known & (of_b ? b_beat_ready : a_beat_ready);
  assign last = beat_valid & beat_ready & at == length;  // `at` counts from 1
  always_ff @(posedge clk)
    if (!rst_n) at <= 9'd1;
    else if (beat_valid & beat_ready) at <= last ? 9'd1 : at + 1'b1;
endmodule
