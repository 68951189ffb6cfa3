#include "apps/train/injection.h"

#include <charconv>
#include <limits>
#include <string_view>

#include "core/check.h"

namespace tern {

Injection Injection::parse(const std::string& text, bool gpu) {
  if (text.empty()) return {};
  constexpr std::string_view kind = "device-error:step=";
  Injection out;
  const char* const end = text.data() + text.size();
  const bool known = text.starts_with(kind);
  const auto parsed = known ? std::from_chars(text.data() + kind.size(), end, out.device_error_step)
                            : std::from_chars_result{};
  require(known && parsed.ec == std::errc{} && parsed.ptr == end && out.device_error_step > 0,
          Fault::usage, "--inject: expected device-error:step=N, got '", text, "'");
  require(gpu, Fault::usage, "--inject device-error: needs --device cuda");
  return out;
}

void Injection::apply(std::int64_t step, std::span<std::int32_t> tokens) const {
  if (step == device_error_step) tokens[0] = std::numeric_limits<std::int32_t>::max();
}

}  // namespace tern
