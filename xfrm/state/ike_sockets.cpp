// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/state/ike_sockets.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

namespace cs::xfrm {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t max_table = std::size_t{16} << 20U;
constexpr std::size_t max_found = 1024;
constexpr std::size_t max_name = 64;

template <class Number>
bool read_number(std::string_view text, int base, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc() && end == text.data() + text.size();
}

std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

struct Line {
  std::uint16_t port = 0;
  std::uint8_t state = 0;
  std::uint64_t inode = 0;
};

// "  12: 0100007F:01F4 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 4711 2 …"
Result<Line> parse_line(std::string_view line) {
  constexpr std::size_t local = 1;
  constexpr std::size_t state = 3;
  constexpr std::size_t inode = 9;
  Line out;
  bool good = true;
  for (std::size_t i = 0; i <= inode; ++i) {
    const std::string_view word = next_word(line);
    if (i == local) {
      const std::size_t colon = word.rfind(':');
      good = colon != std::string_view::npos && read_number(word.substr(colon + 1), 16, out.port);
    } else if (i == state) {
      good = good && read_number(word, 16, out.state);
    } else if (i == inode) {
      good = good && read_number(word, 10, out.inode);
    }
  }
  if (!good) return Error(ErrorKind::invalid, "reading a table of sockets: a line is none");
  return out;
}

// Of each line but the heading.
Result<void> each_line(std::string_view text,
                       const std::function<Result<void>(const Line&)>& take) {
  for (bool heading = true; !text.empty(); heading = false) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (heading) continue;
    CS_TRY(const Line one, parse_line(line));
    CS_CHECK(take(one));
  }
  return {};
}

// Empty where it cannot be read: the process has ended, or is none of ours to look into.
std::string read_file(const fs::path& path, std::size_t most) {
  std::ifstream in(path, std::ios::binary);
  std::string text;
  std::array<char, 4096> chunk{};
  while (in && text.size() < most) {
    in.read(chunk.data(), static_cast<std::streamsize>(std::min(chunk.size(), most - text.size())));
    text.append(chunk.data(), static_cast<std::size_t>(in.gcount()));
  }
  return text;
}

// Of the calling thread's network namespace; one without IPv6 has none for it.
Result<std::string> read_table(const std::string& root, const std::string& name) {
  const fs::path table = fs::path(root + "/proc/thread-self/net") / name;
  std::string text = read_file(table, max_table);
  if (text.size() == max_table) return Error(ErrorKind::limit, table.string() + " is too long");
  if (text.empty() && !name.ends_with('6'))
    return Error(ErrorKind::io, "reading " + table.string());
  return text;
}

bool is_number(const std::string& name) {
  return !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
}

template <class Take>
void each_entry(const fs::path& directory, Take&& take) {
  std::error_code failed;
  fs::directory_iterator entries(directory, failed);
  for (; !failed && entries != fs::directory_iterator(); entries.increment(failed)) {
    take(entries->path());
  }
}

// Names the holders of the sockets, by inode.
void name_holders(const fs::path& proc, const std::multimap<std::string, std::size_t>& wanted,
                  std::vector<IkeSocket>& sockets) {
  each_entry(proc, [&](const fs::path& process) {
    const std::string pid = process.filename().string();
    if (!is_number(pid)) return;
    each_entry(process / "fd", [&](const fs::path& fd) {
      std::error_code failed;
      const std::string target = fs::read_symlink(fd, failed).string();
      if (failed) return;
      const auto [begin, end] = wanted.equal_range(target);
      for (auto one = begin; one != end; ++one) {
        IkeSocket& socket = sockets[one->second];
        socket.process = read_file(process / "comm", max_name);
        while (socket.process.ends_with('\n')) socket.process.pop_back();
        read_number(pid, 10, socket.pid);
      }
    });
  });
}

}  // namespace

Result<std::vector<UdpSocket>> parse_udp_table(std::string_view text) {
  std::vector<UdpSocket> out;
  const auto take = [&out](const Line& one) -> Result<void> {
    if (one.port != 500 && one.port != 4500) return {};
    if (out.size() == max_found) {
      return Error(ErrorKind::limit, "more than " + std::to_string(max_found) +
                                         " sockets are bound to the ports of IKE");
    }
    out.push_back({one.port, one.inode});
    return {};
  };
  CS_CHECK(each_line(text, take));
  return out;
}

Result<std::map<std::uint16_t, std::size_t>> parse_tcp_table(std::string_view text) {
  constexpr std::uint8_t half_open = 3;
  constexpr std::uint8_t time_wait = 6;
  std::map<std::uint16_t, std::size_t> out;
  const auto take = [&out](const Line& one) -> Result<void> {
    if (one.state != half_open && one.state != time_wait) ++out[one.port];
    return {};
  };
  CS_CHECK(each_line(text, take));
  return out;
}

Result<std::size_t> count_tcp_sockets(const std::set<std::uint16_t>& ports,
                                      const std::string& root) {
  std::size_t count = 0;
  for (const bool ipv6 : {false, true}) {
    CS_TRY(const std::string text, read_table(root, ipv6 ? "tcp6" : "tcp"));
    CS_TRY(const auto found, parse_tcp_table(text));
    for (const std::uint16_t port : ports) {
      const auto at = found.find(port);
      if (at != found.end()) count += at->second;
    }
  }
  return count;
}

Result<std::vector<IkeSocket>> find_ike_sockets(const std::string& root) {
  const fs::path proc = root + "/proc";
  std::vector<IkeSocket> out;
  std::multimap<std::string, std::size_t> wanted;
  for (const bool ipv6 : {false, true}) {
    CS_TRY(const std::string text, read_table(root, ipv6 ? "udp6" : "udp"));
    CS_TRY(const std::vector<UdpSocket> found, parse_udp_table(text));
    for (const UdpSocket& one : found) {
      wanted.emplace("socket:[" + std::to_string(one.inode) + "]", out.size());
      out.push_back({one.port, ipv6, "", 0});
    }
  }
  if (!out.empty()) name_holders(proc, wanted, out);
  return out;
}

}  // namespace cs::xfrm
