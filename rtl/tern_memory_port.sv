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
  logic skid_ready, order_ready, known, of_b, last;
  logic [8:0] last_at, at;
  logic [$clog2(PENDING)+1:0] unused_count;
  assign a_ready = skid_ready & order_ready;
  assign b_ready = a_ready & ~a_valid;
  wire valid = (a_valid | b_valid) & a_ready;
  wire [31:0] address = a_valid ? a_address : b_address;
  wire [8:0] length = a_valid ? a_beats : b_beats;
  tern_skid #(.WIDTH(41)) skid (
    .clk, .rst_n, .in_valid(valid), .in_ready(skid_ready), .in_data({address << SHIFT, length}), .out_valid(read_valid),
    .out_ready(read_ready), .out_data({read_address, read_beats}));
  tern_fifo #(.WIDTH(10), .DEPTH(PENDING)) order (
    .clk, .rst_n, .in_valid(valid), .in_ready(order_ready), .in_data({~a_valid, length - 1'b1}), .out_valid(known),
    .out_ready(last), .out_data({of_b, last_at}), .count(unused_count));
  assign a_beat_valid = beat_valid & known & ~of_b;
  assign b_beat_valid = beat_valid & known & of_b;
  assign beat_ready = known & (of_b ? b_beat_ready : a_beat_ready);
  assign last = beat_valid & beat_ready & at == last_at;
  always_ff @(posedge clk)
    if (!rst_n) at <= '0;
    else if (beat_valid & beat_ready) at <= last ? '0 : at + 1'b1;
endmodule
