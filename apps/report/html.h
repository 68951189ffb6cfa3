// Text and numbers for the page of a report. Whatever comes from files goes through html_text() or
// script_string().
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tern {

// Text between tags or in a quoted attribute; bytes that are no UTF-8 and control characters show
// as \xNN.
std::string html_text(std::string_view text);

// A JSON string for a <script> element: no text ends the element, begins a comment in it, or ends
// a line of JavaScript.
std::string script_string(std::string_view text);

// A JSON array with so many significant digits; what is not finite is null.
std::string script_numbers(std::span<const double> numbers, int digits);

// <p class="note">
std::string note(std::string_view text);

// the style sheet and the scripts of the page, in their order
extern const char* const kReportStyle;
extern const char* const kChartScript;
extern const char* const kPageScript;

}  // namespace tern
