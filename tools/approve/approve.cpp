// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/approve/approve.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <istream>
#include <ostream>

#include "base/fingerprint.h"
#include "base/openssl.h"
#include "keyms/measure/approval_request.h"
#include "tools/policy/load.h"
#include "tpm/small_file.h"

namespace cs::approve {
namespace {

using keyms::ApprovalRequest;

Result<Openssl<EVP_PKEY, EVP_PKEY_free>> read_key(const std::string& path) {
  CS_TRY(const UniqueFd fd, tpm::open_regular_file(path));
  const Openssl<BIO, BIO_free> file(BIO_new_fd(fd.get(), BIO_NOCLOSE));
  Openssl<EVP_PKEY, EVP_PKEY_free> key(
      PEM_read_bio_PrivateKey(file.get(), nullptr, nullptr, nullptr));
  if (key) return key;
  return openssl_error(ErrorKind::invalid, "reading the private key " + path)
      .with_hint("make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256");
}

// A gateway would not take it.
Result<void> check_healed(const ApprovalRequest& request, const Options& options) {
  CS_TRY(const auto story, keyms::RegisterStory::read(keyms::StoryOf::static_register,
                                                      request.static_log, options.explained));
  if (story.drifts().empty()) return {};
  return Error(ErrorKind::denied, "there is drift that is not healed")
      .with_hint("have its cause mended on the gateway, and a new request made");
}

// Read aloud, and not copied from here: so it is the request that the gateway has made.
Result<void> ask(ByteView request, std::istream& in, std::ostream& out) {
  out << "Its digits, as the gateway's operator reads them: " << std::flush;
  std::string typed;
  std::getline(in, typed);
  out << "\n";
  const auto fingerprint = parse_fingerprint(typed);
  if (!fingerprint.ok()) return Error(ErrorKind::denied, fingerprint.error().message());
  const auto hash = tpm::Hasher(tpm::HashAlgorithm::sha256).hash({request});
  if (is_fingerprint_of(*fingerprint, hash.bytes())) return {};
  return Error(ErrorKind::denied, "these are the digits of another request")
      .with_hint("have the file sent again");
}

Result<void> run(const Options& options, std::istream& in, std::ostream& out) {
  CS_TRY(const auto bytes, tpm::read_small_file(options.request, ApprovalRequest::most));
  CS_TRY(const ApprovalRequest request, ApprovalRequest::parse(bytes).context(options.request));
  CS_TRY(const std::string text, request.text(options.explained).context(options.request));
  out << text;
  CS_CHECK(check_healed(request, options));
  CS_TRY(const auto key, read_key(options.key));
  if (!options.yes) CS_CHECK(ask(bytes, in, out));
  CS_TRY(tpm::ApprovalTerms terms, request.terms());
  CS_TRY(const tpm::Approval approval, tpm::make_approval(std::move(terms), key.get()));
  CS_CHECK(policy::save(options.out, approval.encode()));
  out << "approved, in " << options.out << ": the gateway takes it until its next drift or boot\n";
  return {};
}

}  // namespace

Outcome approve(const Options& options, std::istream& in, std::ostream& out, std::ostream& err) {
  const auto done = run(options, in, out);
  if (done.ok()) return Outcome::good;
  const ErrorKind kind = done.error().kind();
  const bool refused = kind == ErrorKind::denied || kind == ErrorKind::unverified;
  return inspect::fail(done.error(), refused ? Outcome::refused : Outcome::unreadable, false, out,
                       err);
}

}  // namespace cs::approve
