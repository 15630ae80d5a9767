// SPDX-License-Identifier: GPL-3.0-or-later
// IMA lists for tests, made entry by entry in each form the kernel has.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_writer.h"
#include "base/hex.h"
#include "tests/support/unwrap.h"
#include "tests/unit/log_bytes.h"
#include "tpm/logs/ima_log.h"

namespace cs::test {

// A field as the binary list has it, and as the other shows it.
struct ImaPart {
  Bytes binary;
  std::string text;
};
inline ImaPart ima_digest_part(std::string_view prefix, const Bytes& digest) {
  Bytes binary = bytes_of(prefix);
  binary.push_back(0);
  binary.insert(binary.end(), digest.begin(), digest.end());
  return {binary, std::string(prefix) + hex_encode(digest)};
}
inline ImaPart ima_name_part(std::string_view name) {
  Bytes binary = bytes_of(name);
  binary.push_back(0);
  return {binary, std::string(name)};
}
inline ImaPart ima_hex_part(const Bytes& bytes) {
  return {bytes, hex_encode(bytes)};
}

class ImaListMaker {
 public:
  // `listed`: the bank whose template hashes the list has.
  explicit ImaListMaker(tpm::HashAlgorithm listed = tpm::HashAlgorithm::sha1) : hasher_(listed) {}

  ImaListMaker& add(std::string_view form, const std::vector<ImaPart>& parts,
                    bool violation = false, std::uint32_t pcr = 10) {
    ByteBuilder data(std::size_t{4} * 1024 * 1024);
    std::string shown;
    for (const ImaPart& part : parts) {
      data.vec32le(part.binary);
      shown += " " + part.text;
    }
    return put(form, get(data.finish("data")), shown, violation, pcr);
  }
  // The template ima, whose data is hashed in another form than it is listed.
  ImaListMaker& add_old(const Bytes& digest, std::string_view name) {
    ByteBuilder hashed(4096);
    hashed.bytes(digest).bytes(bytes_of(name)).zeros(256 - name.size());
    const auto hash = hasher_.hash({get(hashed.finish("hashed"))});
    ByteBuilder entry(4096);
    entry.u32le(10).bytes(hash.bytes()).vec32le(bytes_of("ima")).bytes(digest);
    put(get(entry.vec32le(bytes_of(name)).finish("an entry")));
    text += "10 " + hash.hex() + " ima " + hex_encode(digest) + " " + std::string(name) + "\n";
    return *this;
  }
  ImaListMaker& file(std::string_view name) {
    return add("ima-ng", {ima_digest_part("sha256:", Bytes(32, 7)), ima_name_part(name)});
  }
  ImaListMaker& violation(std::string_view name) {
    return add("ima-ng", {ima_digest_part("sha256:", Bytes(20)), ima_name_part(name)}, true);
  }

  Bytes binary;
  std::string text;
  std::vector<std::size_t> borders;  // where each entry begins in the binary list

 private:
  void put(const Bytes& entry) {
    borders.push_back(binary.size());
    binary.insert(binary.end(), entry.begin(), entry.end());
  }
  ImaListMaker& put(std::string_view form, const Bytes& data, const std::string& shown,
                    bool violation, std::uint32_t pcr) {
    const auto hash = violation ? tpm::Digest(hasher_.algorithm()) : hasher_.hash({data});
    ByteBuilder entry(std::size_t{4} * 1024 * 1024);
    entry.u32le(pcr).bytes(hash.bytes()).vec32le(bytes_of(form)).vec32le(data);
    put(get(entry.finish("an entry")));
    text += (pcr < 10 ? " " : "") + std::to_string(pcr) + " " + hash.hex() + " " +
            std::string(form) + shown + "\n";
    return *this;
  }
  tpm::Hasher hasher_;
};

// An entry of each template, and a violation.
inline ImaListMaker full_ima_list(tpm::HashAlgorithm listed = tpm::HashAlgorithm::sha1) {
  const auto ng = ima_digest_part("sha256:", Bytes(32, 1));
  const auto v2 = ima_digest_part("verity:sha256:", Bytes(32, 2));
  const auto name = ima_name_part("/usr/bin/a_file");
  const auto sig = ima_hex_part({3, 2, 4, 0xff});
  const auto empty = ima_hex_part({});
  ImaListMaker list(listed);
  list.add("ima-ng", {ima_digest_part("sha1:", Bytes(20)), ima_name_part("boot_aggregate")});
  list.add_old(Bytes(20, 9), "/sbin/init");
  list.file("/etc/passwd").violation("/var/log/wtmp");
  list.add("ima-sig", {ng, name, sig}).add("ima-sig", {ng, name, empty});
  list.add("ima-ngv2", {v2, name}).add("ima-sigv2", {v2, name, sig});
  list.add("ima-buf", {ng, ima_name_part("kexec-cmdline"), ima_hex_part(bytes_of("ro quiet"))});
  list.add("ima-modsig", {ng, name, empty, ng, sig});
  list.add("evm-sig", {ng,
                       name,
                       sig,
                       ima_name_part("security.ima"),
                       ima_hex_part({4, 0, 0, 0}),
                       ima_hex_part({1, 2, 3, 4}),
                       {{0, 0, 0, 0}, "0"},
                       {{0xe8, 3, 0, 0}, "1000"},
                       {{0xa4, 0x81}, "33188"}});
  list.add("d-ng|n-ng", {ng, name}, false, 9);
  return list;
}

}  // namespace cs::test
