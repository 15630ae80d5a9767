// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/state/ike_sockets.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
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

// "  12: 0100007F:01F4 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 4711 2 …"
Result<UdpSocket> parse_line(std::string_view line) {
  constexpr std::size_t local = 1;
  constexpr std::size_t inode = 9;
  UdpSocket out;
  bool good = true;
  for (std::size_t i = 0; i <= inode; ++i) {
    const std::string_view word = next_word(line);
    if (i == local) {
      const std::size_t colon = word.rfind(':');
      good = colon != std::string_view::npos && read_number(word.substr(colon + 1), 16, out.port);
    } else if (i == inode) {
      good = good && read_number(word, 10, out.inode);
    }
  }
  if (!good) return Error(ErrorKind::invalid, "reading the table of UDP sockets: a line is none");
  return out;
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
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (number++ == 0) continue;  // the heading
    CS_TRY(const UdpSocket one, parse_line(line));
    if (one.port != 500 && one.port != 4500) continue;
    if (out.size() == max_found) {
      return Error(ErrorKind::limit, "more than " + std::to_string(max_found) +
                                         " sockets are bound to the ports of IKE");
    }
    out.push_back(one);
  }
  return out;
}

Result<std::vector<IkeSocket>> find_ike_sockets(const std::string& root) {
  const fs::path proc = root + "/proc";
  std::vector<IkeSocket> out;
  std::multimap<std::string, std::size_t> wanted;
  for (const bool ipv6 : {false, true}) {
    const fs::path table = proc / "thread-self/net" / (ipv6 ? "udp6" : "udp");
    const std::string text = read_file(table, max_table);
    if (text.size() == max_table) return Error(ErrorKind::limit, table.string() + " is too long");
    if (text.empty() && !ipv6) return Error(ErrorKind::io, "reading " + table.string());
    CS_TRY(const std::vector<UdpSocket> found, parse_udp_table(text).context(table.string()));
    for (const UdpSocket& one : found) {
      wanted.emplace("socket:[" + std::to_string(one.inode) + "]", out.size());
      out.push_back({one.port, ipv6, "", 0});
    }
  }
  if (!out.empty()) name_holders(proc, wanted, out);
  return out;
}

}  // namespace cs::xfrm
