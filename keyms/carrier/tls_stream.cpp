// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/tls_stream.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/endian.h"

namespace cs::keyms::carrier {

namespace {

constexpr std::size_t header_size = 4;
// Read at a time, so that a length alone takes no memory.
constexpr std::size_t most_at_once = 4096;
constexpr std::string_view exporter_label = "EXPORTER-countersign-channel-v1";
constexpr std::size_t secret_size = 32;

}  // namespace

// What begins with anything else buys no arithmetic, and gets a counter of its own.
TlsStream::Step TlsStream::looks_like_tls() {
  constexpr std::uint8_t handshake_record = 22;
  std::uint8_t first = 0;
  const ssize_t size = ::recv(fd_.get(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return Step::wait;
  if (size <= 0) return Step::closed;
  if (first == handshake_record) return Step::done;
  why_ = Refusal::plaintext;
  return Step::refused;
}

TlsStream::Step TlsStream::outcome(int result) {
  blocked_ = false;
  if (result > 0) return Step::done;
  const int error = SSL_get_error(tls_.get(), result);
  const unsigned long reason = ERR_peek_last_error();
  ERR_clear_error();
  switch (error) {
    case SSL_ERROR_WANT_WRITE:
      blocked_ = true;
      return Step::wait;
    case SSL_ERROR_WANT_READ:
      return Step::wait;
    case SSL_ERROR_ZERO_RETURN:
    case SSL_ERROR_SYSCALL:
      return Step::closed;
    default:
      break;
  }
  const int why = ERR_GET_REASON(reason);
  if (why == SSL_R_UNEXPECTED_EOF_WHILE_READING) return Step::closed;
  if (why == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) why_ = Refusal::certificate;
  if (why == SSL_R_UNSUPPORTED_PROTOCOL || why == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
    why_ = Refusal::tls_version;
  return Step::refused;
}

TlsStream::Step TlsStream::handshake(const TlsContext& context) {
  if (!tls_) {
    if (!as_client_) {
      if (const Step step = looks_like_tls(); step != Step::done) return step;
    }
    Result<Tls> tls = context.start(fd_.get(), as_client_, why_);
    if (!tls.ok()) return Step::refused;
    tls_ = std::move(tls).value();
  }
  ERR_clear_error();
  return outcome(SSL_do_handshake(tls_.get()));
}

TlsStream::Step TlsStream::fill(std::size_t whole) {
  while (in_.size() < whole) {
    const std::size_t before = in_.size();
    const std::size_t wanted = std::min(whole - before, most_at_once);
    in_.resize(before + wanted);
    std::size_t got = 0;
    ERR_clear_error();
    const int result = SSL_read_ex(tls_.get(), in_.data() + before, wanted, &got);
    in_.resize(before + (result > 0 ? got : 0));
    if (const Step step = outcome(result); step != Step::done) return step;
  }
  return Step::done;
}

TlsStream::Step TlsStream::read(std::vector<std::uint8_t>& out) {
  if (const Step step = fill(header_size); step != Step::done) return step;
  const auto size = load<std::endian::big, std::uint32_t>(ByteView(in_).first<header_size>());
  if (size == 0 || size > max_data) {
    why_ = Refusal::frame;
    return Step::refused;
  }
  if (const Step step = fill(header_size + size); step != Step::done) return step;
  out.assign(in_.begin() + header_size, in_.end());
  in_.clear();
  return Step::done;
}

TlsStream::Step TlsStream::write(ByteView message) {
  if (unsent() + header_size + message.size() > max_unsent) {
    why_ = Refusal::peer_too_slow;
    return Step::refused;
  }
  if (written_ >= max_unsent / 2) {
    out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(written_));
    written_ = 0;
  }
  std::array<std::uint8_t, header_size> header{};
  store<std::endian::big>(static_cast<std::uint32_t>(message.size()), std::span(header));
  out_.insert(out_.end(), header.begin(), header.end());
  out_.insert(out_.end(), message.begin(), message.end());
  return flush();
}

TlsStream::Step TlsStream::flush() {
  while (unsent() > 0) {
    std::size_t sent = 0;
    ERR_clear_error();
    const Step step = outcome(SSL_write_ex(tls_.get(), out_.data() + written_, unsent(), &sent));
    if (step != Step::done) return step;
    written_ += sent;
  }
  out_.clear();
  written_ = 0;
  return Step::done;
}

void TlsStream::shut_down() noexcept {
  if (tls_ && SSL_is_init_finished(tls_.get()) == 1) SSL_shutdown(tls_.get());
  ERR_clear_error();
}

Result<SecretBytes> TlsStream::channel_secret() const {
  CS_TRY(SecretBytes secret, SecretBytes::create(secret_size));
  if (SSL_export_keying_material(tls_.get(), secret.bytes().data(), secret.size(),
                                 exporter_label.data(), exporter_label.size(), nullptr, 0,
                                 0) != 1) {
    return openssl_error(ErrorKind::internal, "exporting a channel's secret");
  }
  return secret;
}

namespace {

std::vector<std::uint8_t> der_of(const X509* certificate) {
  std::vector<std::uint8_t> der(
      static_cast<std::size_t>(std::max(0, i2d_X509(certificate, nullptr))));
  unsigned char* end = der.data();
  i2d_X509(certificate, &end);
  return der;
}

}  // namespace

std::vector<std::uint8_t> TlsStream::own_certificate() const {
  return der_of(SSL_get_certificate(tls_.get()));
}

std::vector<std::uint8_t> TlsStream::peer_certificate() const {
  return der_of(SSL_get0_peer_certificate(tls_.get()));
}

}  // namespace cs::keyms::carrier
