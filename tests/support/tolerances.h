// Every tolerance of the tests and the measurement or argument it comes from. All are relative to
// the largest magnitude of what is compared, unless the name says otherwise.
#pragma once

namespace tern::tolerance {

// f64 gradients against central differences extrapolated to h = 0 (Richardson, h = 1e-3 and 5e-4):
// truncation h^4 = 1e-12 times the fifth derivative, rounding 2e-16 / h = 2e-13 times the value.
inline constexpr double kFiniteDifference = 1e-7;

// f64 fused op against its composition from primitives: the same formula in another order, some
// hundred roundings of 1e-16 each.
inline constexpr double kComposition = 1e-12;

// f64 sums in another order: micro-batches, shared inputs, gradients that add.
inline constexpr double kReordered = 1e-12;

// One op in f32 against f64 on the same f32 inputs: rows of up to a few hundred elements, 6e-8 a
// rounding. No rounding decision of the cases' fixed inputs lies that close to a tie.
inline constexpr double kSinglePrecision = 1e-5;

// One op in bf16 against f64 on the same bf16 inputs: outputs are rounded to 8 bits (4e-3), and
// intermediates that a fused backward would round once more, like dy / row_scale; a rounding
// decision to int8 may flip (1/127 = 8e-3), or one of dy to e4m3 (1/16 of one term of a sum; 1.5e-2
// at most in the cases, as emulated in f64).
inline constexpr double kHalfPrecision = 2e-2;

// Stored f64 training losses: the build machine's libm and vector width change the last bits, and
// ten steps amplify them; a flipped rounding decision would show as 1e-4 and more.
inline constexpr double kStoredLoss = 1e-9;

}  // namespace tern::tolerance
