// Real numbers of files, f64, f32, bf16 or f16, as f32 or f64 and back.
#pragma once

#include <span>

#include "data/io/stored_type.h"

namespace tern {

// f64, f32, bf16, f16
bool is_real(StoredType type);

// Every element of `from`, which has the type, as Real (f32, f64). Exact, but from f64 to f32: to
// nearest. `to` has as many elements.
template <class Real>
void read_reals(StoredType type, std::span<const std::byte> from, std::span<Real> to);

// Every element of `from` in another type, f32 or bf16: to nearest, halves to even; f64 to bf16 by
// way of f32. `to` has their bytes.
void convert_reals(StoredType type, std::span<const std::byte> from, StoredType to_type,
                   std::span<std::byte> to);

}  // namespace tern
