// Words of IN bits become words of OUT bits, the lowest bits first: beats of memory and slices of a vector.
// Vectors begin with a whole word of both sides. `in_last` marks a vector's last word; IN < OUT: it may end in the middle
// of a word, whose rest is then old; IN > OUT: only in_parts + 1 parts of that word are passed on.
// Handshake: in_* and out_* ready/valid. Latency 1; a word a cycle at the side with the smaller words.
module tern_resize #(
  parameter int IN = 512,
  parameter int OUT = 128  // one is a power of two times the other
) (
  input  logic clk,
  input  logic rst_n,
  input  logic in_valid,
  output logic in_ready,
  input  logic in_last,
  input  logic [(IN > OUT ? $clog2(IN/OUT) : 1)-1:0] in_parts,  // where IN > OUT, of a last word
  input  logic [IN-1:0] in_data,
  output logic out_valid,
  input  logic out_ready,
  output logic out_last,
  output logic [OUT-1:0] out_data
);
`include "tern_bug.svh"
  logic take;
  assign take = in_valid & in_ready;
  if (IN == OUT) begin : g_same
    logic unused_parts;
    assign unused_parts = in_parts[0];
    tern_skid #(.WIDTH(IN + 1)) skid (
      .clk, .rst_n, .in_valid, .in_ready, .in_data({in_last, in_data}), .out_valid, .out_ready,
      .out_data({out_last, out_data}));
    wire unused_take = take;
  end else if (IN < OUT) begin : g_join
    localparam int PARTS = OUT / IN;
    logic [$clog2(PARTS)-1:0] part;
    wire unused_parts = in_parts[0];
    wire whole = in_last & bug != 14 | part == ($clog2(PARTS))'(PARTS - 1);
    assign in_ready = ~out_valid | out_ready;
    always_ff @(posedge clk) begin
      if (!rst_n) begin
        part <= '0;
        out_valid <= 1'b0;
      end else begin
        if (take) part <= whole ? '0 : part + 1'b1;
        out_valid <= take & whole | out_valid & ~out_ready;
      end
      if (take) out_last <= in_last;
    end
    for (genvar i = 0; i < PARTS; i++) begin : g_part
      always_ff @(posedge clk)
        if (take && part == ($clog2(PARTS))'(i)) out_data[i*IN+:IN] <= in_data;
    end
  end else begin : g_split
    localparam int PARTS = IN / OUT;
    localparam int N = $clog2(PARTS);
    logic [IN-1:0] data;
    logic [N-1:0] left;  // parts behind this one
    logic last;
    assign out_data = data[OUT-1:0];
    assign out_last = last & left == '0;
    assign in_ready = ~out_valid | (out_ready & left == '0);
    always_ff @(posedge clk) begin
      if (!rst_n) out_valid <= 1'b0;
      else out_valid <= take | out_valid & ~(out_ready & left == '0);
      if (take) begin
        data <= in_data;
        last <= in_last;
        left <= in_last & bug != 14 ? in_parts : N'(PARTS - 1);
      end else if (out_valid & out_ready) begin
        data <= data >> OUT;
        left <= left - 1'b1;
      end
    end
  end

`ifdef VERILATOR
  a_hold: assert property (@(posedge clk) disable iff (!rst_n)
    out_valid && !out_ready |=> out_valid && $stable(out_data) && $stable(out_last));
`endif
endmodule
