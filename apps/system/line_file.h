// A file of whole lines that grows at its end and survives a full disk: a line is there entirely or
// not at all, so readers and later lines never meet half of one.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace tern {

class LineFile {
 public:
  // Opens or creates it and cuts off a last line that a crash left unfinished. Fault::disk.
  explicit LineFile(const std::filesystem::path& path);
  ~LineFile();
  LineFile(LineFile&& other) noexcept;
  LineFile& operator=(LineFile&& other) noexcept;

  // Writes the lines (the last newline is added), in one write where the disk takes it. False if it
  // refused: then the file is as before, or is cut to whole lines before the next append.
  bool append(std::string_view lines);
  // Whether the last append failed, and why: "No space left on device".
  const std::string& problem() const { return problem_; }

 private:
  void cut_unfinished_line();

  std::filesystem::path path_;
  int descriptor_ = -1;
  bool torn_ = false;  // a failed write left a piece that could not be cut off yet
  std::string problem_{};
};

}  // namespace tern
