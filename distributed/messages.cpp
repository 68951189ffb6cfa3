#include "distributed/messages.h"

#include <limits>
#include <new>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLongest = 1 << 16;
constexpr const char* kForeign = "it sent data that is not a message of tern";

// Text from outside may contain any bytes.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <class Fill>
void parse_json(const std::string& text, const Fill& fill) {
  try {
    require(text.size() <= kLongest, Fault::communication, "a message is too long");
    fill(Json::parse(text));
  } catch (const Json::exception&) {
    fail(Fault::communication, kForeign);
  }
}

int whole(const Json& j, const char* key) {
  const Json& value = j.at(key);
  require(value.is_number_integer() && value >= 0 && value <= std::numeric_limits<int>::max(),
          Fault::communication, kForeign);
  return value.get<int>();
}

// The exit code of the process that receives it: 0 would report success.
Fault fault_from(const Json& j) {
  const int code = whole(j, "fault");
  require((code >= int(Fault::internal) && code <= int(Fault::communication)) ||
              code == int(Fault::stopped),
          Fault::communication, kForeign);
  return Fault(code);
}

}  // namespace

std::string Hello::text() const {
  return dump({{"job", job},
               {"rank", rank},
               {"size", size},
               {"watch", heartbeat},
               {"config", identity.config},
               {"binary", identity.binary},
               {"data", identity.data},
               {"plugins", identity.plugins},
               {"device", identity.device}});
}

Hello Hello::parse(const std::string& text) {
  Hello out;
  parse_json(text, [&](const Json& j) {
    out.job = j.at("job").get<std::string>();
    out.rank = whole(j, "rank");
    out.size = whole(j, "size");
    out.heartbeat = j.at("watch").get<bool>();
    out.identity = {.config = j.at("config").get<std::string>(),
                    .binary = j.at("binary").get<std::string>(),
                    .data = j.at("data").get<std::string>(),
                    .plugins = j.at("plugins").get<std::string>(),
                    .device = j.at("device").get<std::string>()};
  });
  return out;
}

std::string ExitNotice::text() const {
  return dump({{"fault", int(fault)},
               {"rank", rank},
               {"why", why.substr(0, kLongest / 8)},
               {"told", told},
               {"orderly", orderly}});
}

ExitNotice ExitNotice::parse(const std::string& text) {
  ExitNotice out;
  parse_json(text, [&](const Json& j) {
    out.fault = fault_from(j);
    out.rank = whole(j, "rank");
    out.why = j.at("why").get<std::string>();
    out.told = j.at("told").get<bool>();
    out.orderly = j.at("orderly").get<bool>();
  });
  return out;
}

void ExitNotice::raise() const {
  throw Error(fault, told ? "" : why);
}

ExitNotice exit_notice_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return {.fault = e.fault, .why = e.what()};
  } catch (const std::filesystem::filesystem_error& e) {
    const Error named = as_error(e);
    return {.fault = named.fault, .why = named.what()};
  } catch (const std::bad_alloc&) {
    return {.fault = Fault::memory, .why = "out of memory"};
  } catch (const std::exception& e) {
    return {.fault = Fault::internal, .why = e.what()};
  }
}

std::string disagreement(const std::map<int, Hello>& hellos) {
  const Identity& first = hellos.at(0).identity;
  std::string text;
  std::map<std::string, int> devices;
  for (const auto& [rank, hello] : hellos) {
    const auto compare = [&](const char* what, const std::string& own, const std::string& theirs) {
      if (own == theirs) return;
      text += (text.empty() ? "" : "; ") + ("rank " + std::to_string(rank)) +
              " differs from rank 0 in " + what + " (hash " + theirs.substr(0, 8) +
              ", rank 0 has " + own.substr(0, 8) + ")";
    };
    compare("its configuration", first.config, hello.identity.config);
    compare("its program", first.binary, hello.identity.binary);
    compare("its plugins (lib/libtern_*.so)", first.plugins, hello.identity.plugins);
    compare("its data", first.data, hello.identity.data);
    if (hello.identity.device.empty()) continue;
    const auto [other, fresh] = devices.emplace(hello.identity.device, rank);
    if (!fresh)
      text += (text.empty() ? "" : "; ") + ("ranks " + std::to_string(other->second)) + " and " +
              std::to_string(rank) + " have the same GPU: more ranks than GPUs";
  }
  return text;
}

std::string seconds_text(double seconds) {
  std::ostringstream out;
  out << seconds << " s";
  return out.str();
}

}  // namespace tern
