# Where the libraries that data and runtime need come from: Debian packages, or anything under
# CMAKE_PREFIX_PATH. Installed too, for programs that link tern::data or tern::runtime.

# HDF5 as named static archives, so that the binary travels (find_package(HDF5) links shared here).
find_path(HDF5_INCLUDE hdf5.h PATH_SUFFIXES hdf5/serial REQUIRED)
find_library(HDF5_ARCHIVE NAMES libhdf5_serial.a libhdf5.a PATH_SUFFIXES hdf5/serial REQUIRED)
find_library(SZ_ARCHIVE NAMES libsz.a REQUIRED)
find_library(AEC_ARCHIVE NAMES libaec.a REQUIRED)
find_path(Z_INCLUDE zlib.h REQUIRED)
find_library(Z_ARCHIVE NAMES libz.a REQUIRED)
find_path(ZSTD_INCLUDE zstd.h REQUIRED)
find_library(ZSTD_ARCHIVE NAMES libzstd.a REQUIRED)
find_path(LZMA_INCLUDE lzma.h REQUIRED)
find_library(LZMA_ARCHIVE NAMES liblzma.a REQUIRED)
find_path(XXHASH_INCLUDE xxhash.h REQUIRED)
find_path(FMT_INCLUDE fmt/format.h REQUIRED)
find_path(JSON_INCLUDE nlohmann/json.hpp REQUIRED)
find_path(SENTENCEPIECE_INCLUDE sentencepiece_processor.h REQUIRED)
find_library(SENTENCEPIECE_LIBRARY sentencepiece REQUIRED)
find_library(SENTENCEPIECE_TRAIN_LIBRARY sentencepiece_train REQUIRED)
find_path(PCRE2_INCLUDE pcre2.h REQUIRED)
find_library(PCRE2_ARCHIVE NAMES libpcre2-8.a REQUIRED)
find_path(UTF8PROC_INCLUDE utf8proc.h REQUIRED)
find_library(UTF8PROC_ARCHIVE NAMES libutf8proc.a REQUIRED)
find_package(Threads REQUIRED)

add_library(tern_dependencies_data INTERFACE)
target_include_directories(tern_dependencies_data SYSTEM INTERFACE
  ${HDF5_INCLUDE} ${Z_INCLUDE} ${ZSTD_INCLUDE} ${LZMA_INCLUDE} ${XXHASH_INCLUDE} ${FMT_INCLUDE}
  ${JSON_INCLUDE} ${SENTENCEPIECE_INCLUDE} ${PCRE2_INCLUDE} ${UTF8PROC_INCLUDE})
target_compile_definitions(tern_dependencies_data INTERFACE FMT_HEADER_ONLY XXH_INLINE_ALL)
target_link_libraries(tern_dependencies_data INTERFACE
  ${HDF5_ARCHIVE} ${SZ_ARCHIVE} ${AEC_ARCHIVE} ${Z_ARCHIVE} ${ZSTD_ARCHIVE} ${LZMA_ARCHIVE}
  ${PCRE2_ARCHIVE} ${UTF8PROC_ARCHIVE}
  ${SENTENCEPIECE_TRAIN_LIBRARY} ${SENTENCEPIECE_LIBRARY} Threads::Threads ${CMAKE_DL_LIBS})
