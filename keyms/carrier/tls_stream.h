// SPDX-License-Identifier: GPL-3.0-or-later
// Messages over TLS over one TCP connection: each a length (u32) and that many bytes, at most
// max_data. Never blocks; after anything but `wait` and `done` it is of no use.
#pragma once

#include <vector>

#include "base/secret.h"
#include "base/unique_fd.h"
#include "keyms/carrier/tls_context.h"

namespace cs::keyms::carrier {

class TlsStream {
 public:
  static constexpr std::size_t max_unsent = std::size_t{256} * 1024;
  enum class Step : std::uint8_t { done, wait, closed, refused };

  // A connected, non-blocking socket. Does not stay where it was: keep it on the heap.
  TlsStream(UniqueFd fd, bool as_client) noexcept : fd_(std::move(fd)), as_client_(as_client) {}

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // Why the last step was `refused`.
  [[nodiscard]] Refusal why() const noexcept { return why_; }
  [[nodiscard]] bool wants_write() const noexcept { return blocked_ || unsent() > 0; }
  [[nodiscard]] std::size_t unsent() const noexcept { return out_.size() - written_; }

  // Whether TLS has accepted the first thing that a caller says.
  [[nodiscard]] bool begun() const noexcept {
    return tls_ && SSL_get_pending_cipher(tls_.get()) != nullptr;
  }
  // `done`: both ends have shown that they hold their certificate's key.
  [[nodiscard]] Step handshake(const TlsContext& context);
  // `done`: a message is in `out`.
  [[nodiscard]] Step read(std::vector<std::uint8_t>& out);
  // Sends it, or keeps it for flush(). `refused`: more waits than may.
  [[nodiscard]] Step write(ByteView message);
  [[nodiscard]] Step flush();
  // Tells the peer that nothing follows, as far as that goes without waiting.
  void shut_down() noexcept;

  // Once the handshake is done: what only the two ends can know, and both certificates, DER.
  [[nodiscard]] Result<SecretBytes> channel_secret() const;
  [[nodiscard]] std::vector<std::uint8_t> own_certificate() const;
  [[nodiscard]] std::vector<std::uint8_t> peer_certificate() const;

 private:
  [[nodiscard]] Step looks_like_tls();
  [[nodiscard]] Step outcome(int result);
  // The next bytes of a message, up to `whole` in in_.
  [[nodiscard]] Step fill(std::size_t whole);

  UniqueFd fd_;
  Tls tls_;
  std::vector<std::uint8_t> in_;
  std::vector<std::uint8_t> out_;
  std::size_t written_ = 0;  // of out_
  bool as_client_;
  bool blocked_ = false;  // TLS itself waits to write
  Refusal why_ = Refusal::tls;
};

}  // namespace cs::keyms::carrier
