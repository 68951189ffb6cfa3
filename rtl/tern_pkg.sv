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
  localparam int kRowBits = 20;       // index of a row of a matrix
  localparam int kColumnBits = 13;    // K <= 8191

  // A scalar: mantissa 2^exponent, mantissa in [2^23, 2^24), or all zero.
  localparam int kMantissaBits = 24;
  localparam int kExponentBits = 12;
  typedef struct packed {
    logic [kMantissaBits-1:0] mantissa;
    logic signed [kExponentBits-1:0] exponent;
  } scalar_t;

  // How codes are made from v: s = v / 2^narrow in 18 bits, q = s mantissa / 2^shift.
  typedef struct packed {
    logic [4:0] narrow;
    logic [kFactorBits-1:0] mantissa;
    logic [4:0] shift;
  } reciprocal_t;

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
endpackage
