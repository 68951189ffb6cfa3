// Numbers as people read them, in a few ASCII characters: 182k, 1.5 GB, 1h07m. A number that is not
// finite, or a negative duration, reads "?".
#pragma once

#include <string>

namespace tern {

std::string count_text(double n);           // 950, 1.2k, 182k, 4.72M, 1.36B: three digits
std::string bytes_text(double bytes);       // 512 B, 1.5 kB, 61 GB: powers of 1000
std::string duration_text(double seconds);  // 340ms, 2.1s, 45s, 4m05s, 1h07m, 3d04h
std::string share_text(double share);       // 0.31 -> 31%, 0.004 -> 0.4%

}  // namespace tern
