// The accelerator: runs a token's program over a memory (docs/accelerator.md). The host writes the program and the
// lengths n0 .. n3, both from the image's header, then starts a token and waits until `running` falls.
//
// Memory port: requests of bursts of beats, which never cross 4 KB; what was read comes in the order of the requests; a
// write is one beat with a bit for each byte. A read gives what every write that was taken before its request left.
// The weights of a product are asked for when the stores before it are done, and are not those that a store behind it
// changes. All handshakes are ready/valid.
module tern_core #(
  parameter int W = 512,  // bits of the memory port
  parameter int ROWS = 16,
  parameter int COLUMNS = 16,
  parameter int P = 16,        // lanes of the row units
  parameter int WORDS = 1024,  // of a vector register, a power of two
  parameter int BURST = 32     // beats of weights in a burst
) (
  input  logic clk,
  input  logic rst_n,
  input  logic program_write,  // while nothing runs
  input  logic [tern_pkg::kProgramBits-1:0] program_address,
  input  logic [63:0] program_word,
  input  logic [tern_pkg::kLengths*tern_pkg::kColumnBits-1:0] lengths,  // n0 the lowest; those in use are > 0
  input  logic start,
  input  logic [tern_pkg::kTokenBits-1:0] token,
  output logic running,
  output logic found,  // AMAX found the likeliest
  output logic [tern_pkg::kIndexBits-1:0] likeliest,
  output logic saturated,  // something did in this token
  output logic illegal,    // a tile had a code that is none; stays set until the reset
  output logic [tern_pkg::kCounters*tern_pkg::kCounterBits-1:0] counters,
  output logic read_valid,
  input  logic read_ready,
  output logic [31:0] read_address,
  output logic [8:0] read_beats,
  input  logic beat_valid,
  output logic beat_ready,
  input  logic [W-1:0] beat,
  output logic store_valid,
  input  logic store_ready,
  output logic [31:0] store_address,
  output logic [W-1:0] store_data,
  output logic [W/8-1:0] store_strobe
);
  localparam int U = tern_pkg::kUnits;
  localparam int R = tern_pkg::kResources;
  localparam int C = tern_pkg::kColumnBits;
  localparam int SLICES = WORDS / P;
  localparam int A = $clog2(SLICES);
  localparam int MEMORY = tern_pkg::kMemoryUnit, ROW = tern_pkg::kRowUnit, QUANTIZER = tern_pkg::kQuantizerUnit;
  localparam int SCALAR = tern_pkg::kScalarUnit, PRODUCT = tern_pkg::kProductUnit, ARGMAX = tern_pkg::kArgmaxUnit;
  if (W != 2 * ROWS * COLUMNS) $error("W: expected a beat for each tile");

  // ---- issue ----
  localparam int K = tern_pkg::kWorkBits;
  logic begins, product_second;
  logic [U-1:0] go, done;
  logic [U*R-1:0] unit_reads, unit_writes;
  logic [U*K-1:0] work;
  logic [tern_pkg::kTokenBits-1:0] token_now;
  logic [tern_pkg::kArrayStates-1:0] array;
  logic row_follows, product_follows, array_free, fetch, fetch_next, fetch_ready;
  tern_pkg::work_t of_memory, of_row, of_quantizer, of_scalar, of_product, of_argmax, next_product, fetched;
  tern_pkg::instruction_t starts;
  tern_issue issuer (
    .clk, .rst_n, .program_write, .program_address, .program_word, .start, .running, .work, .product_next(next_product),
    .go, .product_second, .done, .row_follows, .product_follows, .unit_reads, .unit_writes, .array_free, .fetch,
    .fetch_next, .fetch_ready, .array, .counters);
  assign begins = start & ~running;
  always_ff @(posedge clk) if (begins) token_now <= token;
  assign of_memory = work[MEMORY*K+:K];
  assign of_row = work[ROW*K+:K];
  assign of_quantizer = work[QUANTIZER*K+:K];
  assign of_scalar = work[SCALAR*K+:K];
  assign of_product = work[PRODUCT*K+:K];
  assign of_argmax = work[ARGMAX*K+:K];
  assign starts = product_second ? next_product.i : of_product.i;
  assign fetched = fetch_next ? next_product : of_product;
  logic [C-1:0] n[0:tern_pkg::kLengths-1];
  for (genvar i = 0; i < tern_pkg::kLengths; i++) begin : g_length
    assign n[i] = lengths[i*C+:C];
  end
  // An instruction goes a cycle after it is the first of its unit, at least: what it chooses is in registers by then.
  logic [C-1:0] memory_length, row_length, quantizer_length, argmax_length;
  always_ff @(posedge clk) begin
    memory_length <= n[of_memory.i.flags[1:0]];
    row_length <= n[of_row.i.flags[1:0]];
    quantizer_length <= n[of_quantizer.i.flags[1:0]];
    argmax_length <= n[of_argmax.i.flags[1:0]];
  end

  // ---- vector registers: what a unit writes is written a cycle later ----
  logic [A-1:0] memory_address, row_address, quantizer_address, argmax_address;  // to read
  logic [A-1:0] memory_at, row_at, quantizer_at, product_at;                     // to write
  logic [P-1:0] memory_write, norm_write, row_write, quantizer_write, product_write;
  logic [P*32-1:0] memory_data, row_data;
  logic [P*16-1:0] norm_data;
  logic [31:0] product_word;
  logic [A:0] written_sums, written_codes;  // slices, so far
  localparam int V = tern_pkg::kVectors, N = tern_pkg::kNorms;
  logic [V*P*32-1:0] v;
  logic [N*P*16-1:0] p;
  logic [A-1:0] memory_at_1, row_at_1;
  logic [P-1:0] memory_write_1, norm_write_1, row_write_1;
  logic [P*32-1:0] memory_data_1, row_data_1;
  logic [P*16-1:0] norm_data_1;
  always_ff @(posedge clk) begin
    memory_write_1 <= memory_write;
    norm_write_1 <= norm_write;
    row_write_1 <= row_write;
    memory_at_1 <= memory_at;
    row_at_1 <= row_at;
    memory_data_1 <= memory_data;
    norm_data_1 <= norm_data;
    row_data_1 <= row_data;
  end
  for (genvar r = 0; r < tern_pkg::kVectors; r++) begin : g_vector
    logic by_row, by_memory;  // for longer than they write
    wire by_product = unit_writes[PRODUCT*R+r];
    always_ff @(posedge clk) begin
      by_row <= unit_writes[ROW*R+r];
      by_memory <= unit_writes[MEMORY*R+r];
    end
    wire [P-1:0] write = {P{by_row}} & row_write_1 | {P{by_product}} & product_write | {P{by_memory}} & memory_write_1;
    tern_register #(.LANES(P), .BITS(32), .SLICES(SLICES), .NUMBER(r)) words (
      .clk, .write, .write_address(by_row ? row_at_1 : by_memory ? memory_at_1 : product_at),
      .write_data(by_row ? row_data_1 : by_memory ? memory_data_1 : {P{product_word}}),
      .read_address(unit_reads[ROW*R+r] ? row_address : unit_reads[QUANTIZER*R+r] ? quantizer_address
        : unit_reads[ARGMAX*R+r] ? argmax_address : memory_address),
      .read_data(v[r*P*32+:P*32]));
  end
  for (genvar r = 0; r < tern_pkg::kNorms; r++) begin : g_norm
    tern_register #(.LANES(P), .BITS(16), .SLICES(SLICES), .NUMBER(16 + r)) words (
      .clk, .write(of_memory.i.pa == 2'(r) ? norm_write_1 : '0), .write_address(memory_at_1), .write_data(norm_data_1),
      .read_address(unit_reads[ROW*R+tern_pkg::kNormAt+r] ? row_address : quantizer_address), .read_data(p[r*P*16+:P*16]));
  end
  wire of_scan = of_row.i.op == tern_pkg::kOpScan;
  logic [P*32-1:0] memory_v, row_a, row_b, row_vb, quantizer_v, argmax_v;
  logic [P*16-1:0] row_pa, row_pb, quantizer_pa, quantizer_pb;
  tern_choose #(.N(V), .WIDTH(P * 32)) to_memory (.clk, .choice(of_memory.i.va), .values(v), .chosen(memory_v));
  tern_choose #(.N(V), .WIDTH(P * 32)) to_row_a (
    .clk, .choice(of_scan ? of_row.i.vd : of_row.i.va), .values(v), .chosen(row_a));
  tern_choose #(.N(V), .WIDTH(P * 32)) to_row_b (
    .clk, .choice(of_scan ? of_row.i.va : of_row.i.vb), .values(v), .chosen(row_b));
  tern_choose #(.N(V), .WIDTH(P * 32)) to_row_vb (.clk, .choice(of_row.i.vb), .values(v), .chosen(row_vb));
  tern_choose #(.N(V), .WIDTH(P * 32)) to_quantizer (.clk, .choice(of_quantizer.i.va), .values(v), .chosen(quantizer_v));
  tern_choose #(.N(V), .WIDTH(P * 32)) to_argmax (.clk, .choice(of_argmax.i.va), .values(v), .chosen(argmax_v));
  tern_choose #(.N(N), .WIDTH(P * 16)) to_row_pa (.clk, .choice(4'(of_row.i.pa)), .values(p), .chosen(row_pa));
  tern_choose #(.N(N), .WIDTH(P * 16)) to_row_pb (.clk, .choice(4'(of_row.i.pb)), .values(p), .chosen(row_pb));
  tern_choose #(.N(N), .WIDTH(P * 16)) to_quantizer_pa (
    .clk, .choice(4'(of_quantizer.i.pa)), .values(p), .chosen(quantizer_pa));
  tern_choose #(.N(N), .WIDTH(P * 16)) to_quantizer_pb (
    .clk, .choice(4'(of_quantizer.i.pb)), .values(p), .chosen(quantizer_pb));

  // ---- codes ----
  logic [P*8-1:0] codes_out;
  logic code_buffer_now;
  logic [C-1:0] code_address;
  logic [COLUMNS*8-1:0] codes[0:1];
  for (genvar q = 0; q < tern_pkg::kCodes; q++) begin : g_codes
    tern_code_buffer #(.IN(P), .OUT(COLUMNS), .DEPTH(WORDS / COLUMNS)) buffer (
      .clk, .write(of_quantizer.i.vd[0] == 1'(q) ? quantizer_write : '0), .write_address(quantizer_at),
      .write_codes(codes_out), .read_address(code_address[$clog2(WORDS/COLUMNS)-1:0]), .read_codes(codes[q]));
  end

  // ---- scalars, and the statistic register ----
  logic [tern_pkg::kMantissaBits+tern_pkg::kExponentBits-1:0] s[0:tern_pkg::kScalars-1];  // scalar_t
  tern_pkg::scalar_t loaded, result, row_g, reciprocal, scalar_a, scalar_b;
  logic loads, computes, statistics_done, load_overflow, scalar_overflow;
  logic [3:0] loads_to, computes_to;
  logic [tern_pkg::kLargestBits-1:0] largest, row_largest;
  logic [tern_pkg::kLargestInputBits-1:0] largest_x, row_largest_y;
  for (genvar i = 0; i < tern_pkg::kScalars; i++) begin : g_scalar
    always_ff @(posedge clk)
      if (loads && loads_to == 4'(i)) s[i] <= loaded;
      else if (computes && computes_to == 4'(i)) s[i] <= result;
  end
  always_ff @(posedge clk) begin
    row_g <= s[of_row.i.sa];
    reciprocal <= s[of_quantizer.i.sa];
    scalar_a <= s[of_scalar.i.sa];
    scalar_b <= s[of_scalar.i.vb];
  end
  always_ff @(posedge clk)
    if (statistics_done) begin
      largest <= row_largest;
      largest_x <= row_largest_y;
    end

  // ---- units ----
  logic ask_a, ask_a_ready, beat_a, beat_a_ready, ask_b, ask_b_ready, beat_b, beat_b_ready;
  logic [31:0] address_a, address_b;
  logic [8:0] beats_a, beats_b;
  tern_memory_port #(.W(W)) port (
    .clk, .rst_n, .a_valid(ask_a), .a_ready(ask_a_ready), .a_address(address_a), .a_beats(beats_a),
    .a_beat_valid(beat_a), .a_beat_ready(beat_a_ready), .b_valid(ask_b), .b_ready(ask_b_ready), .b_address(address_b),
    .b_beats(beats_b), .b_beat_valid(beat_b), .b_beat_ready(beat_b_ready), .read_valid, .read_ready, .read_address,
    .read_beats, .beat_valid, .beat_ready);
  tern_lsu #(.W(W), .P(P), .SLICES(SLICES), .BURST(BURST)) lsu (
    .clk, .rst_n, .go(go[MEMORY]), .i(of_memory.i), .length(memory_length), .layer(of_memory.layer),
    .pass(of_memory.pass), .token(token_now),
    .done(done[MEMORY]), .ask_valid(ask_a), .ask_ready(ask_a_ready), .ask_address(address_a), .ask_beats(beats_a),
    .beat_valid(beat_a), .beat_ready(beat_a_ready), .beat, .store_valid, .store_ready, .store_address, .store_data,
    .store_strobe, .address(memory_address), .va(memory_v), .vector_write(memory_write),
    .vector_data(memory_data), .norm_write, .norm_data, .write_address(memory_at), .scalar_write(loads),
    .scalar_to(loads_to), .scalar(loaded), .overflow(load_overflow));

  logic row_sum, row_sum_done, quantizer_sum, quantizer_sum_done, row_saturated, quantizer_saturated;
  logic [tern_pkg::kSquaresBits-1:0] row_squares, quantizer_squares;
  logic signed [tern_pkg::kExponentBits-1:0] quantizer_exponent;
  logic [3:0] quantizer_to;
  tern_run_row #(.P(P), .SLICES(SLICES)) row (
    .clk, .rst_n, .go(go[ROW]), .i(of_row.i), .length(row_length), .later(of_row.pass != '0),
    .g(row_g), .follows(row_follows), .written(written_sums), .done(done[ROW]), .address(row_address),
    .a(row_a), .b(row_b), .vb(row_vb), .pa(row_pa), .pb(row_pb),
    .write(row_write), .write_address(row_at), .write_data(row_data), .statistics_done,
    .largest(row_largest), .largest_y(row_largest_y), .convert_valid(row_sum), .convert(row_squares),
    .convert_done(row_sum_done), .clear_saturated(begins), .saturated(row_saturated));
  tern_run_quantizer #(.P(P), .SLICES(SLICES)) quantizer (
    .clk, .rst_n, .go(go[QUANTIZER]), .i(of_quantizer.i), .length(quantizer_length),
    .reciprocal, .largest, .largest_x, .done(done[QUANTIZER]), .address(quantizer_address),
    .va(quantizer_v), .pa(quantizer_pa), .pb(quantizer_pb), .write(quantizer_write),
    .write_address(quantizer_at), .write_codes(codes_out), .written(written_codes), .convert_valid(quantizer_sum),
    .convert(quantizer_squares), .convert_exponent(quantizer_exponent), .convert_to(quantizer_to),
    .convert_done(quantizer_sum_done), .clear_saturated(begins), .saturated(quantizer_saturated));
  tern_run_scalar scalar (
    .clk, .rst_n, .go(go[SCALAR]), .i(of_scalar.i), .sa(scalar_a), .sb(scalar_b), .largest,
    .done(done[SCALAR]), .row_valid(row_sum), .row_sum(row_squares), .row_to(of_row.i.sd), .row_done(row_sum_done),
    .quantizer_valid(quantizer_sum), .quantizer_sum(quantizer_squares), .quantizer_exponent, .quantizer_to,
    .quantizer_done(quantizer_sum_done), .write(computes), .write_to(computes_to), .result, .overflow(scalar_overflow));
  tern_run_product #(.W(W), .ROWS(ROWS), .COLUMNS(COLUMNS), .P(P), .SLICES(SLICES), .BURST(BURST)) product (
    .clk, .rst_n, .fetch, .fetch_ready, .fetched, .fetched_rows(n[fetched.i.flags[1:0]]),
    .fetched_columns(n[fetched.i.pa]), .go(go[PRODUCT]), .go_ready(array_free), .code_buffer(starts.va[0]),
    .rows(n[starts.flags[1:0]]), .columns(n[starts.pa]), .done(done[PRODUCT]), .ask_valid(ask_b),
    .ask_ready(ask_b_ready), .ask_address(address_b), .ask_beats(beats_b), .beat_valid(beat_b),
    .beat_ready(beat_b_ready), .beat, .code_buffer_now, .code_address, .codes(codes[code_buffer_now]),
    .follows(product_follows), .written_codes, .write(product_write), .write_address(product_at),
    .write_word(product_word), .written(written_sums), .array, .illegal);
  tern_run_argmax #(.P(P), .SLICES(SLICES)) argmax (
    .clk, .rst_n, .clear(begins), .go(go[ARGMAX]), .i(of_argmax.i), .length(argmax_length),
    .pass(of_argmax.pass), .done(done[ARGMAX]), .address(argmax_address), .va(argmax_v), .found, .likeliest);

  logic scalars_saturated;
  tern_sticky sticky (
    .clk, .rst_n, .clear(begins), .event_in(load_overflow | scalar_overflow), .flag(scalars_saturated));
  assign saturated = scalars_saturated | row_saturated | quantizer_saturated;
  wire unused_work = ^{of_row.layer, of_argmax.layer, of_quantizer.layer, of_quantizer.pass, of_scalar.layer,
    of_scalar.pass, starts};
  wire unused_address = ^code_address[C-1:$clog2(WORDS/COLUMNS)];

`ifdef TERN_TRACE
  import "DPI-C" function void tern_trace_word(input int number, input int word, input int value);
  import "DPI-C" function void tern_trace_scalar(input int number, input int mantissa, input int exponent);
  import "DPI-C" function void tern_trace_statistic(input longint product, input int row);
  always_ff @(posedge clk) begin
    if (loads) tern_trace_scalar(32'(loads_to), 32'(loaded.mantissa), 32'(loaded.exponent));
    if (computes) tern_trace_scalar(32'(computes_to), 32'(result.mantissa), 32'(result.exponent));
    if (statistics_done) tern_trace_statistic(64'(row_largest), 32'(row_largest_y));
    for (int i = 0; i < P; i++)
      if (quantizer_write[i])
        tern_trace_word(24 + 32'(of_quantizer.i.vd[0]), 32'(quantizer_at) * P + i, 32'($signed(codes_out[i*8+:8])));
  end
`endif
endmodule
