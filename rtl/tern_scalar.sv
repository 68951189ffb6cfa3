// The scalar unit: products, sums, quotients and roots of scalars, rounded down; scalars of integers;
// and the reciprocal R / 2^k that makes codes of a row with the largest |v| `integer_in` (code_reciprocal in
// rtl/model/operations.cpp), as a scalar whose upper 17 bits are R. A quotient by zero is zero.
// Handshake: in_* and out_* ready/valid, one operation at a time. Latency from taking operands to out_valid:
// multiply 27, add 28, divide 29, root 28, of an integer 13, reciprocal 38.
module tern_scalar (
  input  logic clk,
  input  logic rst_n,
  input  logic in_valid,
  output logic in_ready,
  input  tern_pkg::scalar_op_e op_in,
  input  tern_pkg::scalar_t a_in,
  input  tern_pkg::scalar_t b_in,
  input  logic [tern_pkg::kSquaresBits-1:0] integer_in,
  input  logic signed [tern_pkg::kExponentBits-1:0] exponent_in,  // of the integer
  output logic out_valid,
  input  logic out_ready,
  output tern_pkg::scalar_t result,
  output logic overflow  // the exponent has more bits; its lowest ones are in `result`
);
`include "tern_bug.svh"
  localparam int M = tern_pkg::kMantissaBits;
  localparam int E = tern_pkg::kExponentBits;
  localparam int I = tern_pkg::kSquaresBits;
  localparam int R = tern_pkg::kFactorBits;
  localparam int X = E + 2;  // exponents while they are added
  localparam logic [4:0] PREPARED = 5'd3;
  typedef enum logic [2:0] {kIdle, kNormalise, kPrepare, kRun, kFinish, kDone} state_e;

  state_e state;
  tern_pkg::scalar_op_e op;
  tern_pkg::scalar_t a, b;
  logic [4:0] count;

  function automatic logic of_integer(input tern_pkg::scalar_op_e o);
    of_integer = o == tern_pkg::kScalarOfInteger | o == tern_pkg::kScalarReciprocal;
  endfunction
  assign in_ready = state == kIdle;
  assign out_valid = state == kDone;

  // ---- the integer, shifted until its highest bit is at the top: by 32, 16, 8, 4, 2, 1 ----
  logic [I-1:0] number;
  logic [5:0] length;  // bits of the integer
  logic zero;
  logic [5:0] shift;
  logic [I-1:0] up;  // where a bit would be lost

  // ---- the upper 18 bits of the largest |v|, as quantize() takes them ----
  logic signed [I:0] rounded;
  logic [R-1:0] top;
  logic unused_sign;
  logic cut;  // what rounds up to 2^17
  logic [R-1:0] normal;
  tern_round #(.IN(I + 1), .SHIFT(6)) round (
    .clk, .value({1'b0, number}), .shift(6'(I - R)), .rounded);
  tern_saturate #(.IN(I + 1), .OUT(R + 1)) saturate (.value(rounded), .result({unused_sign, top}), .saturated(cut));
  // of what divides 127 2^k: 17 at most; of zero it is 1
  wire [4:0] normal_length = zero ? 5'd1 : length > 6'(R) ? 5'(R) - 5'(bug == 8 && number[I-2:0] == '0) : length[4:0];
  assign normal = zero ? {1'b1, {(R - 1) {1'b0}}} : top;

  // ---- the steps of the four operations ----
  logic [2*M:0] product;           // partial sums above, b's bits that are left below
  logic [M-1:0] high, low;         // of a sum
  logic [X-1:0] apart;             // the exponents
  logic signed [E-1:0] exponent;   // of `high`
  logic signed [X-1:0] distance;
  logic divide_done, root_done, divider_whole, odd, a_is_high;
  logic [M-1:0] quotient, root;
  assign distance = X'(a.exponent) - X'(b.exponent);
  assign a_is_high = b.mantissa == '0 | (a.mantissa != '0 & ~distance[X-1]);
  assign odd = a.exponent[0] ^ M[0];

  wire start = state == kPrepare & count == PREPARED;
  wire reciprocal_op = op == tern_pkg::kScalarReciprocal;
  tern_divider #(.BITS(M)) divider (
    .clk, .rst_n, .start,
    .a(reciprocal_op ? {7'd127, (M - 7)'(0)} : a.mantissa),
    .b(reciprocal_op ? {normal, (M - R)'(0)} : b.mantissa),
    .done(divide_done), .quotient, .whole(divider_whole));
  tern_root #(.BITS(M)) rooter (
    .clk, .rst_n, .start,
    .radicand(odd ? {1'b0, a.mantissa, (M - 1)'(0)} : {a.mantissa, M'(0)}),
    .done(root_done), .root);

  logic run_ends;
  always_comb
    unique case (op)
      tern_pkg::kScalarDivide, tern_pkg::kScalarReciprocal: run_ends = divide_done;
      tern_pkg::kScalarRoot: run_ends = root_done;
      tern_pkg::kScalarOfInteger: run_ends = 1'b1;
      tern_pkg::kScalarAdd: run_ends = count == 5'(M);
      default: run_ends = count == 5'(M - 1);
    endcase

  always_ff @(posedge clk) begin
    if (!rst_n) state <= kIdle;
    else
      unique case (state)
        kIdle: if (in_valid) state <= of_integer(op_in) ? kNormalise : kPrepare;
        kNormalise: if (count == 5'd5) state <= kPrepare;
        kPrepare: if (count == PREPARED) state <= kRun;
        kRun: if (run_ends) state <= kFinish;
        kFinish: state <= kDone;
        default: if (out_ready) state <= kIdle;
      endcase
    count <= count + 1'b1;
    unique case (state)
      kIdle: begin
        // scalars need one cycle of kPrepare, an integer's rounding takes four
        count <= of_integer(op_in) ? 5'd0 : PREPARED;
        op <= op_in;
        a <= a_in;
        b <= b_in;
        number <= integer_in;
        shift <= 6'd32;
        up <= ~({I{1'b1}} >> 32);
        length <= 6'(I);
      end
      kNormalise: begin
        if (count == 5'd0) zero <= number == '0;
        shift <= shift >> 1;
        up <= ~({I{1'b1}} >> (shift >> 1));
        if ((number & up) == '0) begin
          number <= number << shift;
          length <= length - shift;
        end
        if (count == 5'd5) count <= 5'd0;
      end
      kPrepare: begin
        if (count == PREPARED) count <= 5'd0;
        product <= {(M + 1)'(0), b.mantissa};
        high <= a_is_high ? a.mantissa : b.mantissa;
        low <= a.mantissa == '0 | b.mantissa == '0 ? '0 : a_is_high ? b.mantissa : a.mantissa;
        exponent <= a_is_high ? a.exponent : b.exponent;
        apart <= distance[X-1] ? -distance : distance;
      end
      kRun: begin
        product <= {1'b0, product[2*M:M] + (product[0] ? {1'b0, a.mantissa} : '0), product[M-1:1]};
        if (apart != '0) begin
          low <= low >> 1;
          apart <= apart - 1'b1;
        end
      end
      default: ;
    endcase
  end

  // ---- results: a mantissa of 24 bits or zero, and an exponent that counts one more where it was longer ----
  logic signed [E-1:0] exponent_of_integer;
  logic [M:0] sum;
  logic [M-1:0] mantissa;
  logic signed [X-1:0] base, at, distance_1, twice_root, both, of_length;
  logic longer;
  wire normal_result = mantissa[M-1];  // else zero
  assign at = base + X'($signed({1'b0, longer}));
  always_comb
    unique case (op)
      tern_pkg::kScalarMultiply: begin
        longer = product[2*M-1];
        mantissa = longer ? product[2*M-1:M] : product[2*M-2:M-1];
      end
      tern_pkg::kScalarAdd: begin
        longer = sum[M];
        mantissa = longer ? sum[M:1] : sum[M-1:0];
      end
      tern_pkg::kScalarDivide: begin
        longer = divider_whole;
        mantissa = a.mantissa[M-1] & b.mantissa[M-1] ? quotient : '0;
      end
      tern_pkg::kScalarRoot: begin
        longer = 1'b0;
        mantissa = a.mantissa[M-1] ? root : '0;
      end
      tern_pkg::kScalarReciprocal: begin
        longer = divider_whole;
        mantissa = {quotient[M-1:M-R] + R'(bug == 7), (M - R)'(0)};
      end
      default: begin
        longer = 1'b0;
        mantissa = number[I-1:I-M];
      end
    endcase
  always_ff @(posedge clk) begin
    if (state == kIdle) exponent_of_integer <= exponent_in;
    sum <= {1'b0, high} + {1'b0, low};
    distance_1 <= distance;
    both <= X'(a.exponent) + X'(b.exponent);
    of_length <= X'(exponent_of_integer) + X'(length);
    twice_root <= X'(a.exponent) - X'(M) + X'($signed({1'b0, odd}));
    unique case (op)
      tern_pkg::kScalarMultiply: base <= both + X'(M - 1);
      tern_pkg::kScalarAdd: base <= X'(exponent);
      tern_pkg::kScalarDivide: base <= distance_1 - X'(M);
      tern_pkg::kScalarRoot: base <= twice_root >>> 1;
      tern_pkg::kScalarReciprocal: base <= X'(R - M - 10) - X'(normal_length);
      default: base <= of_length - X'(M);
    endcase
    if (state == kFinish) begin
      result.mantissa <= mantissa;
      result.exponent <= normal_result ? at[E-1:0] : '0;
      overflow <= normal_result & at != X'($signed(at[E-1:0]));
    end
  end

`ifdef VERILATOR
  a_hold: assert property (@(posedge clk) disable iff (!rst_n)
    out_valid && !out_ready |=> out_valid && $stable(result) && $stable(overflow));
  c_cut: cover property (@(posedge clk) disable iff (!rst_n) state == kFinish && cut);
`endif
endmodule
