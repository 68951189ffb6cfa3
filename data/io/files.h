// Files by descriptor: whole reads and writes, fsync, atomic replacement. Only regular files are
// opened; every failure is an Error that names the path and carries the system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/check.h"

namespace tern {

// Whether the last component of a path may be a symbolic link: follow for paths that a user typed,
// refuse inside directories that tern made.
enum class Links { refuse, follow };

// Facts that tell whether a path still names the same file with the same content.
struct FileIdentity {
  std::uint64_t device = 0, inode = 0, bytes = 0, seconds = 0,
                nanoseconds = 0;  // of the last write
  bool linked = false;            // it has a name
  bool operator==(const FileIdentity&) const = default;
};

class File {
 public:
  // an existing regular file; Fault::input when it is missing, unreadable or something else
  static File open(const std::filesystem::path& path, Links links = Links::refuse);
  // a new file, 0666 less the umask, for reading and writing; Fault::disk when it exists
  static File create(const std::filesystem::path& path);
  // an existing regular file, for reading and writing; Fault::disk when it cannot be opened
  static File open_to_write(const std::filesystem::path& path);
  // takes ownership of an open descriptor; name is for messages
  static File adopt(const std::filesystem::path& name, int descriptor);

  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  std::uint64_t size() const;     // bytes, now
  FileIdentity identity() const;  // now; all zero if the system reports none

  // Fault::disk with the system's reason; interrupted and short writes are continued
  void write_all(std::span<const std::byte> bytes);
  void pwrite_all(std::uint64_t offset, std::span<const std::byte> bytes);
  void resize(std::uint64_t bytes);
  void sync();   // fsync
  void close();  // reports errors, which the destructor ignores

  // fills bytes up to the end of the file, returns how many; 0 at the end
  std::size_t read_some(std::span<std::byte> bytes);
  // all of them; Fault::input when the file ends before, Fault::disk when reading fails
  void pread_all(std::uint64_t offset, std::span<std::byte> bytes) const;

 private:
  File(std::filesystem::path path, int descriptor);

  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Makes created, renamed and removed names in the directory durable. Fault::disk.
void fsync_directory(const std::filesystem::path& directory);

// Either the old or the new content survives a crash: path.tmp, fsync, rename, directory fsync.
// `write` writes the content to the file that it is given.
void write_file_atomically(const std::filesystem::path& path,
                           const std::function<void(File&)>& write);
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

// A new file with this content, synced. Fault::disk if there is one.
void write_new_file(const std::filesystem::path& path, std::string_view content);

// Whether the name exists, links followed. Throws `fault` with the system's reason if that cannot
// be found out: no permission, a name too long, links in a circle.
bool path_exists(const std::filesystem::path& path, Fault fault = Fault::input);

// Whether the directory has an entry of that name, of any kind, links not followed. False if that
// cannot be found out.
bool entry_exists(const std::filesystem::path& path);

// Fault::disk, naming both, with the system's reason. Not durable before fsync_directory.
void rename_entry(const std::filesystem::path& from, const std::filesystem::path& to);

// Fault::disk, with the system's reason, unless write_file_atomically can write there. For a check
// before work of minutes.
void require_replaceable(const std::filesystem::path& path);

// a whole regular file; Fault::input when it is longer than max_bytes
std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes,
                      Links links = Links::refuse);

// Whether a name from a file is 1 to 255 letters, digits, '-', '_' and '.', not beginning with '.':
// it stays in its directory.
bool is_plain_name(std::string_view name);

// "~" and "~/..." with the home directory in its place; any other path as it is. Fault::usage for
// "~name" (a file of that name is "./~name") and where HOME is not set.
std::string expand_home(const std::string& path);

// Makes a directory and its missing parents, durably. Fault::disk, naming the one that fails.
void make_directories(const std::filesystem::path& directory);

// An exception of the standard library as an Error that names the path: Fault::disk if the disk is
// full, read-only or broken, else Fault::input.
Error as_error(const std::filesystem::filesystem_error& error);

// The text of an errno value.
std::string system_message(int error);

// Files that stay open between reads, up to a limit: a corpus of thousands of shards needs no more
// descriptors than a small one.
class FileCache {
 public:
  // a quarter of the descriptors that this process may have, 1 to 1024
  static std::size_t usual_limit();
  explicit FileCache(std::size_t most = usual_limit()) : most_(most) {}

  // The file, opened if it is not open yet. At the limit the least recently used one is closed. A
  // file stays open as long as the caller holds it. Any thread. Fault::input, Fault::disk as
  // File::open.
  std::shared_ptr<const File> open(const std::filesystem::path& path);
  // The next open() opens the path again.
  void forget(const std::filesystem::path& path);

 private:
  using Files = std::list<std::shared_ptr<const File>>;

  std::size_t most_;
  std::mutex mutex_;
  Files files_;  // last used first
  std::unordered_map<std::string, Files::iterator> by_path_;
};

}  // namespace tern
