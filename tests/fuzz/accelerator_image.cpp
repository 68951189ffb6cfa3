// An image for the accelerator, all but its hash: what is accepted is the same bytes.
#include <algorithm>

#include "rtl/model/image.h"
#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

void run(std::string_view input) {
  const auto bytes = std::as_bytes(std::span(input));
  if (input.size() > (1 << 20)) return;
  works({Fault::input}, [&] {
    const rtl::Image image = rtl::Image::parse({bytes.begin(), bytes.end()}, "image");
    expect(std::ranges::equal(image.bytes(), bytes), "bytes differ from those of the file");
    expect(rtl::Image::bytes_of(bytes.first(rtl::kHeaderBytes), "image") == input.size(),
           "the header alone gives another size");
    expect(image.config().size() + image.tokenizer().size() <= input.size(), "text beyond the end");
  });
}

}  // namespace tern::fuzz
