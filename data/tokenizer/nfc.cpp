#include "data/tokenizer/nfc.h"

#include <utf8proc.h>

#include <cstdlib>

#include "core/check.h"

namespace tern {

std::string nfc(std::string_view text) {
  utf8proc_uint8_t* out = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             utf8proc_ssize_t(text.size()), &out,
                                             utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  require(size >= 0, Fault::memory, "[nfc] ", text.size(), " B: ", utf8proc_errmsg(size));
  std::string result(reinterpret_cast<const char*>(out), std::size_t(size));
  std::free(out);
  return result;
}

bool begins_composition(char32_t c) {
  if (c < 0x300) return true;
  if ((c >= 0x1161 && c <= 0x1175) || (c >= 0x11a8 && c <= 0x11c2)) return false;  // Hangul jamo
  // all others that join what is before them are marks
  const utf8proc_category_t category = utf8proc_category(utf8proc_int32_t(c));
  return category < UTF8PROC_CATEGORY_MN || category > UTF8PROC_CATEGORY_ME;
}

}  // namespace tern
