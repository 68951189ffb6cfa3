// A text that a person and a model write in turns: each line of standard input is read on top of
// what is there, and the model goes on. Nothing stands between turns: base models know no template.
#pragma once

#include "runtime/text_generator.h"

namespace tern {

// Until the end of standard input. At a terminal each turn begins with "> "; Ctrl-C ends an answer,
// and at the beginning of a turn all of it; a third one that is not answered ends the process with
// 130. A line that ends in a backslash goes on with the next: the newline between them is read.
// Other newlines are not. An empty line lets the model go on.
void write_in_turns(TextGenerator& text, TextGenerator::Limits limits, const ShowText& show);

}  // namespace tern
