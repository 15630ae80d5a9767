// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/gate.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "nfq-signer/wide.h"

namespace cs {

namespace {

constexpr std::size_t largest = wide::padded_for_siphash(sizeof(Digest) + max_extension);
// Fewer cost more together than one after the other.
constexpr std::size_t worth_going_wide = 3;

}  // namespace

std::size_t Gate::write_message(const Job& job, std::uint8_t* out) noexcept {
  std::uint8_t* end = std::copy(job.packet->begin(), job.packet->end(), out);
  const ByteView front = job.extension.first(job.extension.size() - tag_size - behind_tag);
  end = std::copy(front.begin(), front.end(), end);
  const ByteView back = job.extension.last(behind_tag);
  end = std::copy(back.begin(), back.end(), end);
  return static_cast<std::size_t>(end - out);
}

void Gate::make_tags(std::span<Job> jobs) noexcept {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): only what is written is read
  std::array<std::array<std::uint8_t, largest>, wide::tags> messages;
  while (!jobs.empty()) {
    const std::size_t size = jobs.front().extension.size();
    const auto other = std::find_if(
        jobs.begin(), jobs.end(), [size](const Job& job) { return job.extension.size() != size; });
    const std::size_t count = std::min(static_cast<std::size_t>(other - jobs.begin()), wide::tags);
    if (count < worth_going_wide || !wide::is_there()) {
      Job& job = jobs.front();
      crypto_shorthash_siphash24(job.tag.data(), messages[0].data(),
                                 write_message(job, messages[0].data()),
                                 job.gate->secret_.bytes().data());
      jobs = jobs.subspan(1);
      continue;
    }
    std::array<std::uint8_t*, wide::tags> texts{};
    std::array<std::uint8_t*, wide::tags> tags{};
    std::array<const std::uint8_t*, wide::tags> keys{};
    std::size_t written = 0;
    for (std::size_t i = 0; i < wide::tags; ++i) {
      Job& job = jobs[std::min(i, count - 1)];  // the last one again and again
      texts[i] = messages[i].data();
      tags[i] = job.tag.data();
      keys[i] = job.gate->secret_.bytes().data();
      written = write_message(job, texts[i]);
    }
    wide::siphash24(texts, written, keys, tags);
    jobs = jobs.subspan(count);
  }
}

}  // namespace cs
