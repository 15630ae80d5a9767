// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/packet/report.h"

#include <arpa/inet.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <ostream>

#include "base/bytes.h"

namespace cs::packet {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view truncated = "truncated";

std::string_view reason_of(const Verdict& verdict) {
  return verdict.found->kind == Kind::cut ? truncated : to_string(verdict.reason);
}

ByteView packet_of(const Verdict& verdict) {
  const capture::IpInFrame& ip = verdict.found->ip;
  return verdict.captured->bytes.subspan(ip.offset, ip.size);
}

std::string address(ByteView bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
  if (inet_ntop(family, bytes.data(), text.data(), text.size()) == nullptr) return "?";
  return text.data();
}

// What the headers say, where they are there.
struct Headers {
  std::string source, target;
  std::string protocol;
  std::uint32_t spi = 0;
  std::uint32_t sequence = 0;
};

std::optional<Headers> headers_of(const Verdict& verdict) {
  if (verdict.found->kind != Kind::ipsec) return std::nullopt;
  const Layout& at = verdict.found->layout;
  const ByteView packet = packet_of(verdict);
  Headers out;
  const std::size_t size = at.ipv6 ? 16 : 4;
  const std::size_t source = at.ipv6 ? 8 : 12;
  out.source = address(packet.subspan(source, size));
  out.target = address(packet.subspan(source + size, size));
  const bool is_ah = at.protocol == Protocol::ah;
  out.protocol = is_ah ? "ah" : at.udp != 0 ? "esp-in-udp" : "esp";
  ByteReader reader(packet.subspan(at.payload + (is_ah ? 4 : 0)));
  if (!reader.u32be(out.spi) || !reader.u32be(out.sequence)) return std::nullopt;
  return out;
}

std::string time_of(const capture::Frame& frame) {
  std::array<char, 32> text{};
  const int size =
      std::snprintf(text.data(), text.size(), "%u.%09u", frame.seconds, frame.nanoseconds);
  return {text.data(), static_cast<std::size_t>(size)};
}

std::string hex32(std::uint32_t number) {
  std::array<char, 16> text{};
  const int size = std::snprintf(text.data(), text.size(), "0x%08x", number);
  return {text.data(), static_cast<std::size_t>(size)};
}

void write_line(std::ostream& out, const Verdict& verdict, std::string_view good) {
  out << '#' << verdict.frame << ' ' << time_of(*verdict.captured);
  if (const auto headers = headers_of(verdict)) {
    out << ' ' << headers->source << " > " << headers->target << ' ' << headers->protocol << " spi "
        << hex32(headers->spi) << " seq " << headers->sequence;
  }
  const bool is_good = verdict.reason == Reason::none;
  out << ": " << (is_good ? good : std::string_view("refused: "))
      << (is_good ? std::string_view() : reason_of(verdict));
  if (verdict.extension != nullptr) {
    const ExtensionFields& fields = *verdict.extension;
    out << " (key " << fields.key << ", lane " << fields.lane << ", batch " << fields.batch
        << ", packet " << fields.index + 1 << " of " << fields.count << ')';
  }
  out << '\n';
}

Json to_json(const Verdict& verdict, std::string_view good) {
  const bool is_good = verdict.reason == Reason::none;
  Json out{{"frame", verdict.frame},
           {"time", time_of(*verdict.captured)},
           {"verdict", is_good ? good : std::string_view("refused")},
           {"reason", reason_of(verdict)}};
  if (const auto headers = headers_of(verdict)) {
    out["source"] = headers->source;
    out["target"] = headers->target;
    out["protocol"] = headers->protocol;
    out["spi"] = headers->spi;
    out["sequence"] = headers->sequence;
  }
  if (verdict.extension != nullptr) {
    const ExtensionFields& fields = *verdict.extension;
    out["key_id"] = fields.key;
    out["lane"] = fields.lane;
    out["batch"] = fields.batch;
    out["index"] = fields.index;
    out["count"] = fields.count;
  }
  return out;
}

}  // namespace

Report::Report(std::ostream& out, bool json, std::string_view good)
    : out_(out), good_word_(good), json_(json) {
  if (json_) out_ << "{\"schema_version\": " << schema_version << ",\n \"packets\": [";
}

void Report::count(const Verdict& verdict) noexcept {
  const bool is_cut = verdict.found->kind == Kind::cut;
  if (verdict.reason == Reason::none) {
    ++good_;
    return;
  }
  ++refused_;
  ++(is_cut ? truncated_ : reasons_.at(static_cast<std::size_t>(verdict.reason)));
}

void Report::packet(const Verdict& verdict) {
  count(verdict);
  if (json_) {
    out_ << (first_ ? "\n  " : ",\n  ") << to_json(verdict, good_word_).dump();
    first_ = false;
  } else {
    write_line(out_, verdict, good_word_);
  }
}

void Report::finish(const std::optional<std::string>& error) {
  if (json_) {
    finish_json(error);
  } else {
    finish_text();
  }
  out_.flush();
}

void Report::finish_text() {
  out_ << frames_ << (frames_ == 1 ? " frame: " : " frames: ") << good_ << ' ' << good_word_ << ", "
       << refused_ << " refused";
  std::string_view before = " (";
  const auto add = [&](std::string_view name, std::uint64_t number) {
    if (number == 0) return;
    out_ << before << name << ' ' << number;
    before = ", ";
  };
  for (std::size_t i = 0; i < reasons_.size(); ++i)
    add(to_string(static_cast<Reason>(i)), reasons_.at(i));
  add(truncated, truncated_);
  if (refused_ != 0) out_ << ')';
  out_ << ", " << passed_ << " not IPsec\n";
}

void Report::finish_json(const std::optional<std::string>& error) {
  Json reasons = Json::object();
  for (std::size_t i = 0; i < reasons_.size(); ++i) {
    if (reasons_.at(i) != 0)
      reasons[std::string(to_string(static_cast<Reason>(i)))] = reasons_.at(i);
  }
  if (truncated_ != 0) reasons[std::string(truncated)] = truncated_;
  const Json counts{{"frames", frames_},
                    {std::string(good_word_), good_},
                    {"refused", refused_},
                    {"not_ipsec", passed_},
                    {"reasons", reasons}};
  constexpr auto replace = Json::error_handler_t::replace;  // a path need not be UTF-8
  out_ << (first_ ? "],\n" : "\n ],\n") << " \"counts\": " << counts.dump()
       << ",\n \"error\": " << (error ? Json(*error) : Json()).dump(-1, ' ', false, replace)
       << "}\n";
}

}  // namespace cs::packet
