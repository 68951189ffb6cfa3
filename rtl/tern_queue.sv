// A unit's two instructions, the first of which leaves when it is done, and for how many completions of each unit they
// still wait. An instruction goes when it waits for none, and is the first one; with AHEAD also the second one when the
// first one went. One that `follows` the unit LEADER goes while it waits for one completion of that.
// Handshake: `put` only while there is room; it goes while `ready`, and `go` says so in the cycle behind it.
// Latency: goes from the cycle after `put` on.
module tern_queue #(
  parameter int R = tern_pkg::kResources,
  parameter int UNIT = 0,
  parameter int LEADER = 0,
  parameter bit AHEAD = 0
) (
  input  logic clk,
  input  logic rst_n,
  input  logic put,
  input  tern_pkg::work_t work,
  input  logic [R-1:0] reads,
  input  logic [R-1:0] writes,
  input  logic [2*tern_pkg::kUnits-1:0] waits,  // behind this cycle, two bits for each unit
  input  logic follows,
  input  logic [tern_pkg::kUnits-1:0] done,
  input  logic ready,
  output logic go,
  output logic go_second,  // the second one went, and is it still
  output logic [1:0] held,  // {the second, the first}
  output logic [1:0] went,
  output tern_pkg::work_t work_1,
  output tern_pkg::work_t work_2,
  output logic [R-1:0] reads_1,
  output logic [R-1:0] reads_2,
  output logic [R-1:0] writes_1,
  output logic [R-1:0] writes_2,
  output logic [2*tern_pkg::kUnits-1:0] waits_1,
  output logic [2*tern_pkg::kUnits-1:0] waits_2,
  output logic [1:0] follower
);
  localparam int U = tern_pkg::kUnits;
  logic leaves, put_1;
  logic [1:0] put_at, go_at;
  logic [2*U-1:0] left_1, left_2;  // waits behind this cycle
  logic [U-1:0] stay_1, stay_2;
  assign leaves = done[UNIT];
  assign put_1 = put & (~held[0] | leaves);
  assign put_at = {put & ~put_1, put_1};
  for (genvar w = 0; w < U; w++) begin : g_wait
    assign left_1[2*w+:2] = waits_1[2*w+:2] - {1'b0, done[w] & waits_1[2*w+:2] != 2'd0};
    assign left_2[2*w+:2] = waits_2[2*w+:2] - {1'b0, done[w] & waits_2[2*w+:2] != 2'd0};
    assign stay_1[w] = waits_1[2*w+1] | (waits_1[2*w] & ~(w == LEADER & follower[0]));
    assign stay_2[w] = waits_2[2*w+1] | (waits_2[2*w] & ~(w == LEADER & follower[1]));
  end
  assign go_at[0] = held[0] & ~went[0] & ready & stay_1 == '0;
  assign go_at[1] = AHEAD & held[1] & ~went[1] & ready & ~go & stay_2 == '0 & went[0];
  always_ff @(posedge clk) begin
    go <= rst_n & |go_at;
    go_second <= go_at[1] & ~leaves;
    held <= {2{rst_n}} & (held >> leaves | put_at);
    went <= {2{rst_n}} & (went | go_at) >> leaves;
    if (put_1 | leaves) begin
      work_1 <= put_1 ? work : work_2;
      reads_1 <= put_1 ? reads : reads_2;
      writes_1 <= put_1 ? writes : writes_2;
      follower[0] <= put_1 ? follows : follower[1];
    end
    if (put) begin
      work_2 <= work;
      reads_2 <= reads;
      writes_2 <= writes;
      follower[1] <= follows;
    end
    waits_1 <= put_1 ? waits : leaves ? left_2 : left_1;
    waits_2 <= put ? waits : left_2;
  end

`ifdef VERILATOR
  a_room: assert property (@(posedge clk) disable iff (!rst_n) put |-> !held[1]);
  a_done: assert property (@(posedge clk) disable iff (!rst_n) leaves |-> went[0]);
`endif
`ifdef FORMAL
  logic past_reset = 1'b0;
  always_ff @(posedge clk) past_reset <= 1'b1;
  always_comb if (past_reset) begin
    assert (held != 2'b10);
    assert ((went & ~held) == '0 && went != 2'b10);
  end
  for (genvar w = 0; w < U; w++) begin : g_prove
    always_comb if (past_reset) begin
      if (went[0]) assert (waits_1[2*w+:2] == 2'd0 || (w == LEADER && follower[0] && waits_1[2*w+:2] == 2'd1));
      if (went[1]) assert (waits_2[2*w+:2] == 2'd0 || (w == LEADER && follower[1] && waits_2[2*w+:2] == 2'd1));
    end
  end
`endif
endmodule
