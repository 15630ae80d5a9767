// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/chain.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/panic.h"
#include "tpm/certificates/openssl_text.h"

namespace cs::tpm {

namespace {

constexpr int security_level = 2;

using Store = Openssl<X509_STORE, X509_STORE_free>;
using Context = Openssl<X509_STORE_CTX, X509_STORE_CTX_free>;
using List = std::vector<const Certificate*>;

struct FreeStack {
  void operator()(STACK_OF(X509) * stack) const noexcept { sk_X509_free(stack); }
};
using Stack = std::unique_ptr<STACK_OF(X509), FreeStack>;

// Everything a path may go through, and where each comes from.
struct Pool {
  const Certificate& leaf;
  const List& given;
  const VendorRoots& roots;

  [[nodiscard]] List all() const {
    List list{&leaf};
    list.insert(list.end(), given.begin(), given.end());
    for (const auto* from : {&roots.anchors(), &roots.intermediates()}) {
      for (const Certificate& certificate : *from) list.push_back(&certificate);
    }
    return list;
  }
  [[nodiscard]] const Certificate* find(const X509* x509) const {
    const List list = all();
    const auto at = std::ranges::find(list, x509, &Certificate::x509);
    return at == list.end() ? nullptr : *at;
  }
};

// A certificate that was put right has another body than was signed, so that OpenSSL finds its
// signature wrong. Then the bytes as they came decide.
int accept_repaired(int ok, X509_STORE_CTX* context) {
  if (ok == 1 || X509_STORE_CTX_get_error(context) != X509_V_ERR_CERT_SIGNATURE_FAILURE) return ok;
  const auto* const pool = static_cast<const Pool*>(X509_STORE_CTX_get_app_data(context));
  const STACK_OF(X509)* const path = X509_STORE_CTX_get0_chain(context);
  const int depth = X509_STORE_CTX_get_error_depth(context);
  const Certificate* const certificate = pool->find(X509_STORE_CTX_get_current_cert(context));
  const int last = sk_X509_num(path) - 1;
  const X509* const issuer = sk_X509_value(path, std::min(depth + 1, last));
  if (certificate == nullptr || !certificate->is_signed_by(X509_get0_pubkey(issuer))) return 0;
  X509_STORE_CTX_set_error(context, X509_V_OK);
  return 1;
}

Store make_store(const VendorRoots& roots) {
  Store store(X509_STORE_new());
  if (!store) panic("no memory");
  for (const Certificate& anchor : roots.anchors()) {
    if (X509_STORE_add_cert(store.get(), anchor.x509()) != 1) panic("no memory");
  }
  return store;
}

Stack make_untrusted(const Pool& pool) {
  Stack stack(sk_X509_new_null());
  if (!stack) panic("no memory");
  for (const Certificate* certificate : pool.given) {
    if (certificate != &pool.leaf) sk_X509_push(stack.get(), certificate->x509());
  }
  for (const Certificate& certificate : pool.roots.intermediates()) {
    sk_X509_push(stack.get(), certificate.x509());
  }
  return stack;
}

// The last one of the path that OpenSSL built, or the one its complaint is about.
const Certificate& culprit(const X509_STORE_CTX* context, const Pool& pool) {
  const X509* const x509 = X509_STORE_CTX_get_current_cert(context);
  const Certificate* const certificate = x509 == nullptr ? nullptr : pool.find(x509);
  return certificate == nullptr ? pool.leaf : *certificate;
}

std::string quoted(const std::string& text) {
  return "'" + text + "'";
}

Check issuer_not_found(const Certificate& last, const Pool& pool) {
  const std::string& directory = pool.roots.directory();
  const std::string name = quoted(last.name());
  const std::string issuer = quoted(short_name(X509_get_issuer_name(last.x509())));
  if (last.is_self_issued() && last.is_signed_by(last.public_key())) {
    return fails("root_not_trusted", "the path ends in the root " + name + ", which is not in " +
                                         directory + "; if it is the vendor's (SHA-256 " +
                                         last.fields().fingerprint + "), put it there");
  }
  const List all = pool.all();
  const auto namesake = std::ranges::find_if(all, [&](const Certificate* one) {
    return one != &last && X509_NAME_cmp(X509_get_subject_name(one->x509()),
                                         X509_get_issuer_name(last.x509())) == 0;
  });
  if (namesake != all.end()) {
    return fails("issuer_key_differs",
                 name + " is issued by " + issuer +
                     ", and the certificate of that name that is there (SHA-256 " +
                     (*namesake)->fields().fingerprint + ") is of another key");
  }
  const std::string& url = last.fields().issuer_url;
  return fails("issuer_missing",
               name + " is issued by " + issuer + ", whose certificate is neither in " + directory +
                   " nor among those given; " +
                   (url.empty() ? "get it from the vendor" : "fetch it from " + url) +
                   " and put it there");
}

Check critical_extension(const Certificate& certificate) {
  for (int i = 0; i < X509_get_ext_count(certificate.x509()); ++i) {
    X509_EXTENSION* const extension = X509_get_ext(certificate.x509(), i);
    if (X509_EXTENSION_get_critical(extension) == 1 && X509_supported_extension(extension) != 1) {
      return fails("critical_extension",
                   quoted(certificate.name()) + " has the critical extension " +
                       text_of(X509_EXTENSION_get_object(extension)) + ", which is not known here");
    }
  }
  return fails("critical_extension",
               quoted(certificate.name()) + " has a critical extension that is not known here");
}

Check diagnose(const X509_STORE_CTX* context, const Pool& pool) {
  const Certificate& last = culprit(context, pool);
  const std::string name = quoted(last.name());
  const int error = X509_STORE_CTX_get_error(context);
  switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return issuer_not_found(last, pool);
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return fails("expired", name + " expired " + last.fields().not_after);
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return fails("not_yet_valid", name + " is not valid before " + last.fields().not_before);
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return fails("signature", "the signature of " + name + " does not verify under " +
                                    quoted(short_name(X509_get_issuer_name(last.x509()))));
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
      return critical_extension(last);
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_INVALID_NON_CA:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
      return fails("issuer_not_authority", name + " may not issue certificates");
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
      return fails("weak", "the key of " + name + " (" + last.fields().key + ") is too weak");
    case X509_V_ERR_CA_MD_TOO_WEAK:
      return fails("weak", name + " is signed with " +
                               OBJ_nid2sn(X509_get_signature_nid(last.x509())) +
                               ", which is too weak");
    default:
      return fails("chain_invalid", name + ": " + X509_verify_cert_error_string(error));
  }
}

std::vector<std::string> names_of(const STACK_OF(X509) * path, const Pool& pool) {
  std::vector<std::string> names;
  for (int i = 0; i < sk_X509_num(path); ++i) {
    const X509* const x509 = sk_X509_value(path, i);
    const Certificate* const certificate = pool.find(x509);
    names.push_back(certificate == nullptr ? short_name(X509_get_subject_name(x509))
                                           : certificate->name());
  }
  return names;
}

}  // namespace

Chain verify_chain(const Certificate& certificate, const List& given, const VendorRoots& roots,
                   const Clock& clock) {
  if (roots.anchors().empty()) {
    return {fails("no_roots", "no root is in " + roots.directory() +
                                  "; put the TPM vendor's root certificate there"),
            {certificate.name()}};
  }
  Pool pool{certificate, given, roots};
  const Store store = make_store(roots);
  const Stack untrusted = make_untrusted(pool);
  const Context context(X509_STORE_CTX_new());
  if (!context ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate.x509(), untrusted.get()) != 1) {
    panic("OpenSSL cannot verify a chain");
  }
  X509_VERIFY_PARAM* const parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(parameters, to_time_t(clock.wall()));
  X509_VERIFY_PARAM_set_auth_level(parameters, security_level);
  X509_STORE_CTX_set_app_data(context.get(), &pool);
  X509_STORE_CTX_set_verify_cb(context.get(), accept_repaired);
  const bool verified = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  Chain chain;
  chain.path = names_of(X509_STORE_CTX_get0_chain(context.get()), pool);
  if (chain.path.empty()) chain.path.push_back(certificate.name());
  chain.check = verified ? holds("chain", "it leads to the root " + quoted(chain.path.back()) +
                                              " in " + roots.directory())
                         : diagnose(context.get(), pool);
  return chain;
}

}  // namespace cs::tpm
