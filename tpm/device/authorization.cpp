// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/authorization.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "base/panic.h"
#include "base/unique_fd.h"
#include "tpm/device/esys.h"
#include "tpm/small_file.h"

namespace cs::tpm {

namespace {

// AUTH_FAIL, of whichever session; BAD_AUTH is what objects answer that count nothing.
bool is_counted(TSS2_RC answer) {
  constexpr TSS2_RC which = 0xf00;  // the session's number
  return (answer & ~which) == TPM2_RC_AUTH_FAIL;
}

constexpr std::size_t most_note = 32;

std::string minutes_to(BootTime then, BootTime now) {
  return std::to_string(std::chrono::ceil<std::chrono::minutes>(then - now).count()) +
         " min: the TPM locks after a few wrong ones";
}

}  // namespace

FailedAuthorizations::FailedAuthorizations(std::string note, const Clock& clock)
    : salt_(), note_(std::move(note)) {
  if (RAND_bytes(salt_.data(), static_cast<int>(salt_.size())) != 1) panic("RAND_bytes");
  if (note_.empty()) return;
  const auto text = read_small_file(note_, most_note);
  if (!text.ok() && text.error().kind() == ErrorKind::not_found) return;
  std::int64_t seconds = 0;
  // Its line must be whole: half a number is a moment long ago.
  bool is_read = text.ok() && !text->empty() && text->back() == '\n';
  if (is_read) {
    const auto* const first = reinterpret_cast<const char*>(text->data());
    const char* const end = first + text->size() - 1;
    const auto parsed = std::from_chars(first, end, seconds);
    is_read = parsed.ec == std::errc() && parsed.ptr == end;
  }
  const std::int64_t now = to_time_t(clock.wall());
  const std::chrono::seconds age(is_read && seconds >= 0 && seconds <= now ? now - seconds : 0);
  if (age < wait) noted_until_ = clock.boot() + wait - age;
}

Result<void> FailedAuthorizations::write_note(WallTime when) const {
  const std::string text = std::to_string(to_time_t(when)) + "\n";
  const UniqueFd file(::open(note_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                             S_IRUSR | S_IWUSR));
  if (!file) return from_errno(errno, "opening " + note_);
  if (::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::fsync(file.get()) == 0) {
    return {};
  }
  return from_errno(errno, "writing " + note_);
}

Digest FailedAuthorizations::digest(ByteView entity, ByteView auth) const {
  // Names differ in length, but every one begins with its algorithm or is a handle of four bytes.
  const std::array<std::uint8_t, 1> length{static_cast<std::uint8_t>(entity.size())};
  return Hasher(HashAlgorithm::sha256).hash({salt_, length, entity, auth});
}

Result<void> FailedAuthorizations::check(ByteView entity, ByteView auth, BootTime now) const {
  const Digest what = digest(entity, auth);
  const bool is_guess = !auth.empty() && std::ranges::find(right_, what) == right_.end();
  BootTime until = is_guess ? noted_until_ : BootTime::min();
  for (const Failure& failure : failures_) {
    if (failure.what == what && now < failure.when + wait) {
      return Error(ErrorKind::denied, "this auth value has failed for the same object before")
          .with_retry(Retry::after_delay)
          .with_hint("correct it, or wait " + minutes_to(failure.when + wait, now));
    }
    if (is_guess && failure.counted) until = std::max(until, failure.when + wait);
  }
  if (now >= until) return {};
  return Error(ErrorKind::denied, "an auth value has failed before, and this one is not proved")
      .with_retry(Retry::after_delay)
      .with_hint("make sure that it is right, and wait " + minutes_to(until, now) +
                 (until > noted_until_
                      ? ""
                      : "; who knows it to be right: rm " + note_ + " and start again"));
}

Result<void> FailedAuthorizations::failed(ByteView entity, ByteView auth, const Clock& clock,
                                          bool counted) {
  const Digest what = digest(entity, auth);
  std::erase(right_, what);
  if (failures_.size() == most) failures_.erase(failures_.begin());
  failures_.push_back({what, clock.boot(), counted});
  return counted && !note_.empty() ? write_note(clock.wall()) : Result<void>();
}

void FailedAuthorizations::held(ByteView entity, ByteView auth) {
  const Digest what = digest(entity, auth);
  if (auth.empty() || std::ranges::find(right_, what) != right_.end()) return;
  if (right_.size() == most) right_.erase(right_.begin());
  right_.push_back(what);
}

Result<void> call_authorized(Device& device, std::string_view asked, EsysHandle entity,
                             ByteView auth, const Device::Command& command) {
  CS_TRY(const auto who, device.name_of(asked, entity));
  CS_CHECK(device.failed_authorizations().check(who, auth, device.clock().boot()).context(asked));
  constexpr TPM2B_AUTH nothing{};
  CS_TRY(TPM2B_AUTH value, sized<TPM2B_AUTH>(auth, "the auth value"));
  bool counted = false;
  auto done = device.call(asked, [&](ESYS_CONTEXT* esys) {
    TSS2_RC rc = Esys_TR_SetAuth(esys, entity, &value);
    if (rc == TSS2_RC_SUCCESS) rc = command(esys);
    // Fails only for a handle that is gone, and then so is the value.
    static_cast<void>(Esys_TR_SetAuth(esys, entity, &nothing));
    counted = is_counted(rc);
    return rc;
  });
  OPENSSL_cleanse(&value, sizeof(value));
  auto& failures = device.failed_authorizations();
  if (done.ok()) {
    failures.held(who, auth);
  } else if (device.last_trouble() == Trouble::authorisation) {
    const auto noted = failures.failed(who, auth, device.clock(), counted);
    if (!noted.ok()) {
      return std::move(done).context("not noted for the next process: " + noted.error().message());
    }
  }
  return done;
}

}  // namespace cs::tpm
