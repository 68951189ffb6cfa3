// Messages between ranks: the greeting, and the notice of an end.
#include "distributed/messages.h"

#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

void run(std::string_view input) {
  const std::string text(input);
  works({Fault::communication}, [&] {
    const Hello hello = Hello::parse(text);
    const Hello again = Hello::parse(hello.text());
    expect(again.text() == hello.text(), "a greeting differs when it is read again");
    disagreement({{0, hello}, {1, again}, {2, {}}});
  });
  works({Fault::communication}, [&] {
    const ExitNotice notice = ExitNotice::parse(text);
    expect(ExitNotice::parse(notice.text()).text() == notice.text(),
           "a notice differs when it is read again");
    try {
      notice.raise();
    } catch (const Error& e) {
      const int code = int(e.fault);
      expect((code >= 1 && code <= 7) || code == 75, "an exit code that tern does not have");
    }
  });
}

}  // namespace tern::fuzz
