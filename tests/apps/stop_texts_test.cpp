// Stop texts, by hand: however the text is cut into parts, the same is shown.
#include "runtime/stop_texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tern::test {
namespace {

using testing::ElementsAre;
using Texts = std::vector<std::string>;

// What each push returns, and what finish() does.
Texts shown(const Texts& stops, const Texts& parts) {
  StopTexts matcher(stops);
  Texts out;
  for (const std::string& part : parts) out.push_back(matcher.push(part));
  out.push_back(matcher.finish());
  return out;
}

// All of it, a part of `size` bytes at a time; "|": it ended at a stop.
std::string all_shown(const Texts& stops, const std::string& text, std::size_t size) {
  StopTexts matcher(stops);
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += size) out += matcher.push(text.substr(at, size));
  out += matcher.finish();
  return matcher.found() ? out + '|' : out;
}

void expect_shown(const Texts& stops, const std::string& text, const std::string& expected) {
  for (std::size_t size = 1; size <= text.size(); ++size)
    EXPECT_EQ(all_shown(stops, text, size), expected) << "parts of " << size << " bytes";
}

TEST(StopTexts, WithoutStopsEverythingIsShownAtOnce) {
  EXPECT_THAT(shown({}, {"a", "", "bc"}), ElementsAre("a", "", "bc", ""));
}

TEST(StopTexts, AStopThatSpansPartsIsNotShown) {
  EXPECT_THAT(shown({"STOP"}, {"a S", "T", "O", "P b", "c"}),
              ElementsAre("a ", "", "", "", "", ""));
  expect_shown({"STOP"}, "a STOP b", "a |");
  expect_shown({"STOP"}, "STOP", "|");
}

TEST(StopTexts, WhatBecomesNoStopIsShownWhenThatIsKnown) {
  EXPECT_THAT(shown({"STOP"}, {"a ST", "OR", "b ST"}), ElementsAre("a ", "STOR", "b ", "ST"));
  expect_shown({"STOP"}, "a STOR ST", "a STOR ST");
}

TEST(StopTexts, OnlyWhatMayBeginAStopIsHeldBack) {
  EXPECT_THAT(shown({"\n\n"}, {"a\n", "b\n", "\nc"}), ElementsAre("a", "\nb", "", ""));
}

TEST(StopTexts, CandidatesOverlap) {
  expect_shown({"aab"}, "aaab", "a|");
  expect_shown({"abab"}, "abaabab", "aba|");
  expect_shown({"abac"}, "ababac", "ab|");
  expect_shown({"aaaa"}, "aaabaaa", "aaabaaa");
}

TEST(StopTexts, OfSeveralTheOneThatIsCompleteFirst) {
  expect_shown({"cd", "ab"}, "xabcd", "x|");
  expect_shown({"abcd", "bc"}, "xabcd", "xa|");
  expect_shown({"abcd", "bx"}, "abcabx", "abca|");
  expect_shown({"b", "ab"}, "xab", "x|");
  expect_shown({"ab", "b"}, "xab", "x|");
  expect_shown({"User:", "\nUser:"}, "yes\nUser: no", "yes|");
}

TEST(StopTexts, NothingIsShownBehindAStop) {
  StopTexts matcher({"."});
  EXPECT_EQ(matcher.push("a.b"), "a");
  EXPECT_TRUE(matcher.found());
  EXPECT_EQ(matcher.push("c.d"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopTexts, CharactersOfSeveralBytes) {
  expect_shown({"\u4f60\u597d"}, "x\u4f60\u4f60\u597d!", "x\u4f60|");
  EXPECT_THAT(shown({"\u00e9"}, {"a\u00e8", "b\u00e9"}), ElementsAre("a\u00e8", "b", ""))
      << "whole characters come, so whole ones are shown";
  expect_shown({std::string("\0b", 2)}, std::string("a\0\0bc", 5), std::string("a\0|", 3));
}

}  // namespace
}  // namespace tern::test
