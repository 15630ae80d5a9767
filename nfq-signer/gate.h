// SPDX-License-Identifier: GPL-3.0-or-later
// The gate tag: docs/WIRE.md, section 4. It spares us the signature check of what is not from the
// peer.
#pragma once

#include <sodium.h>

#include <cstddef>
#include <span>
#include <utility>

#include "base/constant_time.h"
#include "base/secret.h"
#include "nfq-signer/extension.h"
#include "nfq-signer/hash.h"

namespace cs {

// One per direction, so that a packet sent back to its sender fails here.
class Gate {
 public:
  static constexpr std::size_t secret_size = crypto_shorthash_siphash24_KEYBYTES;

  // The secret has secret_size bytes.
  explicit Gate(SecretBytes secret) noexcept : secret_(std::move(secret)) {}

  struct Job {
    const Gate* gate = nullptr;
    const Digest* packet = nullptr;
    ByteView extension;  // all of it; the bytes of its tag do not count
    Tag tag{};           // the answer

    // Whether it is the one the extension has.
    [[nodiscard]] bool is_right() const noexcept {
      return constant_time_equal(tag,
                                 extension.last(tag_size + behind_tag).template first<tag_size>());
    }
  };
  // Several extensions of one size cost little more than one.
  static void make_tags(std::span<Job> jobs) noexcept;

  [[nodiscard]] Tag tag(const Digest& packet, ByteView extension) const noexcept {
    Job job{this, &packet, extension};
    make_tags({&job, 1});
    return job.tag;
  }

 private:
  static constexpr std::size_t behind_tag = 2;  // kind, words

  static std::size_t write_message(const Job& job, std::uint8_t* out) noexcept;

  SecretBytes secret_;
};

}  // namespace cs
