// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/offload.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "base/unique_fd.h"

namespace cs {
namespace {

constexpr std::array<std::string_view, 2> modules{"esp4_offload", "esp6_offload"};
constexpr std::array<std::string_view, 3> esp_features{"esp-hw-offload", "esp-tx-csum-hw-offload",
                                                       "tx-esp-segmentation"};
constexpr std::size_t max_file = std::size_t{64} * 1024 * 1024;  // /proc/kallsyms has 10 to 20 MiB
constexpr std::size_t max_line = std::size_t{64} * 1024;
constexpr std::size_t max_features = 1024;  // the kernel has about 60

// Calls line(text) for each line, until that returns true. Returns whether one did; `not_found` if
// the file is not there.
template <class Line>
Result<bool> any_line(const std::string& path, const Line& line) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return from_errno(errno, "opening " + path);
  std::array<char, 16384> chunk{};
  std::string text;
  for (std::size_t size = 0; size <= max_file && text.size() <= max_line;) {
    const ssize_t got = read(fd.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return from_errno(errno, "reading " + path);
    if (got == 0) return !text.empty() && line(std::string_view(text));
    size += static_cast<std::size_t>(got);
    text.append(chunk.data(), static_cast<std::size_t>(got));
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      if (line(std::string_view(text).substr(begin, end - begin))) return true;
    }
    text.erase(0, begin);
  }
  return Error(ErrorKind::limit, "reading " + path + ": it is too long");
}

// As any_line(); nullopt if the file is not there, or withheld from this process.
template <class Line>
Result<std::optional<bool>> any_line_if_there(const std::string& path, const Line& line) {
  const auto found = any_line(path, line);
  if (found.ok()) return std::optional<bool>(*found);
  const ErrorKind kind = found.error().kind();
  if (kind == ErrorKind::not_found || kind == ErrorKind::denied) return std::optional<bool>();
  return found.error();
}

Result<std::string> kernel_release(const std::string& root) {
  std::string release;
  CS_TRY(const bool read, any_line(root + "/proc/sys/kernel/osrelease", [&](std::string_view line) {
           release = line;
           return true;
         }));
  // It becomes part of a path.
  if (!read || release.empty() || release.find('/') != std::string::npos) {
    return Error(ErrorKind::invalid, "reading the kernel's release: it is none");
  }
  return release;
}

// "kernel/net/ipv4/esp4_offload.ko"
bool names_file_of(std::string_view line, std::string_view module) {
  const std::size_t slash = line.rfind('/');
  return line.substr(slash == std::string_view::npos ? 0 : slash + 1) ==
         std::string(module) + ".ko";
}

// "ffffffff81c0 t esp4_gro_receive"; behind a module's own symbols stands its name in brackets.
bool is_kernels_own(std::string_view line, std::string_view symbol) {
  const std::size_t space = line.rfind(' ');
  return space != std::string_view::npos && line.substr(space + 1) == symbol;
}

// Whether `module` is part of the kernel: by the list that came with it, or by its symbols.
Result<bool> is_builtin(const std::string& root, const std::string& release,
                        std::string_view module) {
  CS_TRY(const auto listed,
         any_line_if_there(root + "/lib/modules/" + release + "/modules.builtin",
                           [&](std::string_view line) { return names_file_of(line, module); }));
  if (listed) return *listed;
  const std::string symbol = std::string(module.substr(0, 4)) + "_gro_receive";
  CS_TRY(const auto linked, any_line_if_there(root + "/proc/kallsyms", [&](std::string_view line) {
           return is_kernels_own(line, symbol);
         }));
  if (linked) return *linked;
  return Error(ErrorKind::unsupported, "finding out whether " + std::string(module) +
                                           " is part of the kernel: nothing tells")
      .with_hint("make /lib/modules/" + release + "/modules.builtin or /proc/kallsyms readable");
}

Result<bool> is_there(const std::string& path) {
  struct stat there {};
  if (stat(path.c_str(), &there) == 0) return true;
  if (errno == ENOENT) return false;
  return from_errno(errno, "looking for " + path);
}

// Asks both lists: the first is missing on a kernel without modules, and the second has a module
// already while it loads.
Result<bool> is_loaded(const std::string& root, std::string_view module) {
  const auto listed = any_line(root + "/proc/modules", [&](std::string_view line) {
    return line.substr(0, line.find(' ')) == module;
  });
  if (!listed.ok() && listed.error().kind() != ErrorKind::not_found) return listed.error();
  if (listed.ok() && *listed) return true;
  CS_TRY(const bool is_told, is_there(root + "/sys/module"));
  if (!listed.ok() && !is_told) {
    return Error(ErrorKind::unsupported, "looking for " + std::string(module) +
                                             ": there is neither /proc/modules nor /sys/module");
  }
  return is_there(root + "/sys/module/" + std::string(module));
}

OffloadFinding module_finding(std::string_view module) {
  const std::string name(module);
  return {OffloadFinding::Kind::module, name,
          "the kernel module " + name + " is loaded: IPsec packets pass beside the queue unsigned",
          "delete the SAs (swanctl --terminate, ip xfrm state flush); modprobe -r " + name +
              "; echo install " + name + " /bin/false > /etc/modprobe.d/countersign-" + name +
              ".conf"};
}

OffloadFinding builtin_finding(const std::string& name) {
  return {OffloadFinding::Kind::builtin, name,
          name + " is part of this kernel: IPsec packets pass beside the queue unsigned",
          "boot a kernel that has it as a module (CONFIG_INET_ESP_OFFLOAD=m, "
          "CONFIG_INET6_ESP_OFFLOAD=m) or not at all, as Debian's"};
}

// A question of ethtool's about one interface; `reply` is command and answer in one. False: the
// interface has gone, or answers no such question.
Result<bool> ask_interface(int socket, const char* name, void* reply) {
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_data = static_cast<char*>(reply);
  if (ioctl(socket, SIOCETHTOOL, &request) == 0) return true;
  if (errno == ENODEV || errno == EOPNOTSUPP) return false;
  return from_errno(errno, std::string("asking for the features of interface ") + name);
}

using Words = std::vector<std::uint32_t>;  // memory for the kernel's structs that end in an array

// Names of all features, in the order of their bits; the same for every interface.
Result<std::vector<std::string>> feature_names(int socket, const char* interface) {
  constexpr std::size_t header = sizeof(ethtool_sset_info) / sizeof(std::uint32_t);
  Words counted(header + 1);
  auto* info = reinterpret_cast<ethtool_sset_info*>(counted.data());
  info->cmd = ETHTOOL_GSSET_INFO;
  info->sset_mask = 1ULL << static_cast<unsigned>(ETH_SS_FEATURES);
  CS_TRY(const bool has_count, ask_interface(socket, interface, info));
  if (!has_count || info->sset_mask == 0) return std::vector<std::string>();
  const std::size_t count = counted[header];
  if (count > max_features) {
    return Error(ErrorKind::limit, "asking for features: the kernel has " + std::to_string(count));
  }
  constexpr std::size_t start = sizeof(ethtool_gstrings) / sizeof(std::uint32_t);
  Words named(start + count * ETH_GSTRING_LEN / sizeof(std::uint32_t));
  auto* strings = reinterpret_cast<ethtool_gstrings*>(named.data());
  strings->cmd = ETHTOOL_GSTRINGS;
  strings->string_set = ETH_SS_FEATURES;
  strings->len = static_cast<std::uint32_t>(count);
  CS_TRY(const bool has_names, ask_interface(socket, interface, strings));
  std::vector<std::string> names;
  if (!has_names) return names;
  const auto* text = reinterpret_cast<const char*>(named.data() + start);
  for (std::size_t i = 0; i < std::min<std::size_t>(strings->len, count); ++i) {
    const char* name = text + i * ETH_GSTRING_LEN;
    names.emplace_back(name, strnlen(name, ETH_GSTRING_LEN));
  }
  return names;
}

struct Bits {
  std::size_t index;
  std::string_view name;
};

// Where the wanted features are among all.
std::vector<Bits> find_bits(const std::vector<std::string>& names,
                            std::span<const std::string_view> wanted) {
  std::vector<Bits> bits;
  for (const std::string_view name : wanted) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at != names.end()) bits.push_back({static_cast<std::size_t>(at - names.begin()), name});
  }
  return bits;
}

Result<void> add_features(int socket, const char* interface, std::size_t count,
                          std::span<const Bits> bits, std::vector<InterfaceFeature>& on) {
  const std::size_t blocks = (count + 31) / 32;
  constexpr std::size_t start = sizeof(ethtool_gfeatures) / sizeof(std::uint32_t);
  constexpr std::size_t block = sizeof(ethtool_get_features_block) / sizeof(std::uint32_t);
  Words memory(start + blocks * block);
  auto* features = reinterpret_cast<ethtool_gfeatures*>(memory.data());
  features->cmd = ETHTOOL_GFEATURES;
  features->size = static_cast<std::uint32_t>(blocks);
  CS_TRY(const bool answered, ask_interface(socket, interface, features));
  if (!answered) return {};
  for (const Bits& bit : bits) {
    ethtool_get_features_block state{};
    std::memcpy(&state, memory.data() + start + bit.index / 32 * block, sizeof(state));
    const std::uint32_t mask = 1U << (bit.index % 32);
    if ((state.active & mask) == 0) continue;
    const bool fixed = (state.available & mask) == 0 || (state.never_changed & mask) != 0;
    on.push_back({interface, std::string(bit.name), fixed});
  }
  return {};
}

}  // namespace

Result<std::vector<InterfaceFeature>> features_on(std::span<const std::string_view> features) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return from_errno(errno, "opening a socket to ask for interfaces");
  const std::unique_ptr<struct if_nameindex, decltype(&if_freenameindex)> all(if_nameindex(),
                                                                              &if_freenameindex);
  if (!all) return from_errno(errno, "listing the interfaces");
  std::vector<InterfaceFeature> on;
  std::vector<std::string> names;
  for (const struct if_nameindex* it = all.get(); it->if_index != 0; ++it) {
    if (names.empty()) {
      CS_TRY(names, feature_names(socket.get(), it->if_name));
    }
    const std::vector<Bits> bits = find_bits(names, features);
    if (bits.empty()) continue;
    CS_CHECK(add_features(socket.get(), it->if_name, names.size(), bits, on));
  }
  return on;
}

OffloadFinding feature_finding(const InterfaceFeature& on) {
  return {OffloadFinding::Kind::feature, on.interface,
          "interface " + on.interface + " has " + on.feature +
              " on: packets of an SA given to it pass beside the queue unsigned",
          on.fixed ? "its driver does not let it be switched off: use another card"
                   : "ethtool -K " + on.interface + " " + on.feature + " off"};
}

Result<OffloadProbe> OffloadProbe::create(const std::string& root) {
  OffloadProbe probe(root);
  CS_TRY(const std::string release, kernel_release(root));
  for (const std::string_view module : modules) {
    CS_TRY(const bool builtin, is_builtin(root, release, module));
    if (builtin) probe.builtin_.emplace_back(module);
  }
  return probe;
}

Result<std::vector<OffloadFinding>> OffloadProbe::find_offloads() const {
  std::vector<OffloadFinding> found;
  for (const std::string& name : builtin_) found.push_back(builtin_finding(name));
  for (const std::string_view module : modules) {
    if (std::find(builtin_.begin(), builtin_.end(), module) != builtin_.end()) continue;
    CS_TRY(const bool loaded, is_loaded(root_, module));
    if (loaded) found.push_back(module_finding(module));
  }
  CS_TRY(const auto features, features_on(esp_features));
  for (const InterfaceFeature& on : features) found.push_back(feature_finding(on));
  return found;
}

}  // namespace cs
