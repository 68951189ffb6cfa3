// The accelerator's formats: the widths of rtl/model/operations.h, and the types that units exchange.
package tern_pkg;
  localparam int kWordBits = 32;      // of a vector register's element
  localparam int kWeightBits = 16;    // of a p vector's element
  localparam int kResidualBits = 27;  // of x, and of what o and down read
  localparam int kOperandBits = 18;   // of a multiplier's operand
  localparam int kFactorBits = 17;    // of a reciprocal, and of a scalar's upper bits
  localparam int kGateBits = 16;      // of what goes into a sigmoid: Q.11
  localparam int kSumBits = 22;       // S: 127 K < 2^21 for K <= 16512
  localparam int kProductBits = 43;   // v = x w
  localparam int kLargestBits = 42;   // max |v| <= 2^41
  localparam int kLargestInputBits = 27;  // max |x| <= 2^26
  localparam int kSquaresBits = 52;
  localparam int kIndexBits = 31;     // of an element of a vector of any length
  localparam int kRowBits = 20;       // index of a row of a matrix
  localparam int kColumnBits = 13;    // K <= 8191

  // A scalar: mantissa 2^exponent, mantissa in [2^23, 2^24), or all zero.
  localparam int kMantissaBits = 24;
  localparam int kExponentBits = 12;
  typedef struct packed {
    logic [kMantissaBits-1:0] mantissa;
    logic signed [kExponentBits-1:0] exponent;
  } scalar_t;

  typedef enum logic [2:0] {
    kScalarMultiply,
    kScalarAdd,
    kScalarDivide,
    kScalarRoot,
    kScalarOfInteger,
    kScalarReciprocal
  } scalar_op_e;

  typedef enum logic [2:0] {
    kRowMultiply,
    kRowAccumulate,
    kRowGate,
    kRowSilu,
    kRowScan,
    kRowStatistics
  } row_op_e;

  // What the lanes of the row unit do with the slice that is at the stage of the name's number.
  typedef struct packed {
    logic scan_0;         // the first operand is c - a
    logic weight_0;       // the second one is the weight, not b
    logic [3:0] narrow_0; // what the first one is shifted by
    logic multiply_1;
    logic scan_1;
    logic factor_1;       // the second one is the mantissa of g
    logic [kFactorBits-1:0] mantissa_1;
    logic state_4;        // SILU of a state
    logic statistics_4;
    logic [5:0] shift_7;  // of the product, 20 more than the specification's
    logic multiply_10;
    logic gate_10;        // a sigmoid reads the product
    logic state_10;
    logic gate_11;        // SIG
    logic onto_a_11;      // a is added to, not b
    logic statistics_11;
    logic multiply_12;
    logic accumulate_12;  // MAC, and STAT's 27 bits
    logic gate_21;
    logic bounded_21;     // SIG with a bound
    logic long_29;        // the result is SIG's or SILU's
  } row_control_t;

  // An instruction's fields, as in rtl/model/instruction.h.
  typedef enum logic [3:0] {
    kOpHalt, kOpLdv, kOpStv, kOpLdp, kOpLds, kOpMul, kOpMac, kOpSig, kOpSilu, kOpScan, kOpStat, kOpQnt, kOpSop,
    kOpTmm, kOpAmax, kOpLoop
  } op_e;
  typedef struct packed {
    logic [3:0] op, vd, va, vb;
    logic [1:0] pa, pb;
    logic [3:0] sd, sa, flags;
    logic [31:0] imm;
  } instruction_t;
  localparam int kVectors = 10, kNorms = 4, kScalars = 16, kCodes = 2, kLengths = 4;
  localparam int kProgramBits = 8;  // of a word's index
  localparam int kTokenBits = 20;
  localparam int kPassBits = 16;

  // An instruction, and LOOP's counters when it was issued.
  typedef struct packed {
    instruction_t i;
    logic [31:0] layer;
    logic [kPassBits-1:0] pass;
  } work_t;
  localparam int kWorkBits = 64 + 32 + kPassBits;

  // What instructions read and write, a bit each: v0 .. v9, p0 .. p3, s0 .. s15, qa, qb, the statistic register, and
  // memory with tiles, which stores write and products read.
  localparam int kNormAt = kVectors, kScalarAt = kNormAt + kNorms, kCodeAt = kScalarAt + kScalars;
  localparam int kStatisticAt = kCodeAt + kCodes, kTilesAt = kStatisticAt + 1, kResources = kTilesAt + 1;

  // The units that instructions run in.
  localparam int kMemoryUnit = 0, kRowUnit = 1, kQuantizerUnit = 2, kScalarUnit = 3, kProductUnit = 4;
  localparam int kArgmaxUnit = 5, kUnits = 6;

  // Counts of cycles: for each unit those in which an instruction runs, for each state of the issue, and for what the
  // array of the product does.
  localparam int kIssues = 0, kFetches = 1, kWaitsForQueue = 2, kWaitsForEnd = 3, kIssueStates = 4;
  localparam int kMultiplies = 0, kWaitsForTiles = 1, kWaitsForCodes = 2, kArrayStates = 3;
  localparam int kCounters = kUnits + kIssueStates + kArrayStates, kCounterBits = 40;
endpackage
