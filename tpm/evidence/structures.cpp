// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/structures.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/hex.h"
#include "base/panic.h"

namespace cs::tpm {

namespace {

constexpr std::uint32_t most_banks = 16;  // HASH_COUNT of any TPM is below
constexpr std::uint8_t select_size = 3;   // 24 PCRs
constexpr std::size_t handle_size = 4;    // a Name that is a handle
constexpr std::size_t size_of_size = 2;   // TPM2B

constexpr std::array<std::pair<Algorithm, std::string_view>, 19> names{{
    {Algorithm::rsa, "rsa"},
    {Algorithm::hmac, "hmac"},
    {Algorithm::aes, "aes"},
    {Algorithm::keyedhash, "keyedhash"},
    {Algorithm::exclusive_or, "xor"},
    {Algorithm::null, "null"},
    {Algorithm::rsassa, "rsassa"},
    {Algorithm::rsaes, "rsaes"},
    {Algorithm::rsapss, "rsapss"},
    {Algorithm::oaep, "oaep"},
    {Algorithm::ecdsa, "ecdsa"},
    {Algorithm::ecdh, "ecdh"},
    {Algorithm::ecdaa, "ecdaa"},
    {Algorithm::sm2, "sm2"},
    {Algorithm::ecschnorr, "ecschnorr"},
    {Algorithm::ecmqv, "ecmqv"},
    {Algorithm::ecc, "ecc"},
    {Algorithm::symcipher, "symcipher"},
    {Algorithm::cfb, "cfb"},
}};

std::string number_text(std::uint16_t number) {
  const std::array<std::uint8_t, 2> bytes{static_cast<std::uint8_t>(number >> 8U),
                                          static_cast<std::uint8_t>(number)};
  return "0x" + hex_encode(bytes);
}

Result<PcrSelection::Bank> read_bank(ByteReader& in) {
  CS_TRY(const HashAlgorithm algorithm, read_hash_algorithm(in, "a PCR selection"));
  std::uint8_t width = 0;
  if (!in.u8(width)) return in.failure("a PCR selection");
  if (width != select_size) {
    return Error(ErrorKind::invalid, "reading a PCR selection: at offset " +
                                         std::to_string(in.position() - 1) + " a bank of " +
                                         std::to_string(width) + " bytes, a PC's has 3");
  }
  PcrSelection::Bank bank{algorithm, 0};
  for (unsigned i = 0; i < select_size; ++i) {
    std::uint8_t bits = 0;
    if (!in.u8(bits)) return in.failure("a PCR selection");
    bank.registers |= std::uint32_t{bits} << (8 * i);
  }
  return bank;
}

}  // namespace

std::string to_string(Algorithm algorithm) {
  const auto* const row = std::ranges::find(names, algorithm, &decltype(names)::value_type::first);
  return row == names.end() ? number_text(static_cast<std::uint16_t>(algorithm))
                            : std::string(row->second);
}

Name Name::of(const Digest& digest) {
  ByteBuilder out(most_name);
  out.u16be(static_cast<std::uint16_t>(digest.algorithm())).bytes(digest.bytes());
  return {finish(out)};
}

Name Name::of_handle(std::uint32_t handle) {
  ByteBuilder out(handle_size);
  out.u32be(handle);
  return {finish(out)};
}

std::string Name::hex() const {
  return hex_encode(bytes);
}

ByteView without_size(ByteView file) noexcept {
  ByteReader in(file);
  std::uint16_t size = 0;
  return in.u16be(size) && size == in.remaining() ? file.subspan(size_of_size) : file;
}

Result<HashAlgorithm> read_hash_algorithm(ByteReader& in, std::string_view what) {
  std::uint16_t number = 0;
  if (!in.u16be(number)) return in.failure(what);
  const auto algorithm = hash_algorithm(number);
  if (!algorithm) {
    return Error(ErrorKind::unsupported, "reading " + std::string(what) + ": at offset " +
                                             std::to_string(in.position() - 2) +
                                             " a hash algorithm that is not known here, " +
                                             number_text(number));
  }
  return *algorithm;
}

Result<Name> read_name(ByteReader& in, std::string_view what) {
  const std::size_t start = in.position();
  ByteView bytes;
  if (!in.vec16be(most_name, bytes)) return in.failure(what);
  ByteReader inside(bytes);
  std::uint16_t number = 0;
  const bool digest = inside.u16be(number) && hash_algorithm(number) &&
                      inside.remaining() == digest_size(*hash_algorithm(number));
  if (!bytes.empty() && bytes.size() != handle_size && !digest) {
    return Error(ErrorKind::invalid, "reading " + std::string(what) + ": at offset " +
                                         std::to_string(start) +
                                         " what should be a Name is neither digest nor handle");
  }
  return Name{{bytes.begin(), bytes.end()}};
}

Result<PcrSelection> read_pcr_selection(ByteReader& in) {
  std::uint32_t count = 0;
  if (!in.u32be(count)) return in.failure("a PCR selection");
  if (count > most_banks) {
    return Error(ErrorKind::limit, "reading a PCR selection: at offset " +
                                       std::to_string(in.position() - 4) + " " +
                                       std::to_string(count) + " banks, at most 16");
  }
  PcrSelection selection;
  for (std::uint32_t i = 0; i < count; ++i) {
    CS_TRY(const PcrSelection::Bank bank, read_bank(in));
    if (std::ranges::find(selection.banks, bank.algorithm, &PcrSelection::Bank::algorithm) !=
        selection.banks.end()) {
      return Error(ErrorKind::invalid, "reading a PCR selection: before offset " +
                                           std::to_string(in.position()) + " the bank " +
                                           std::string(to_string(bank.algorithm)) +
                                           " stands there twice");
    }
    selection.banks.push_back(bank);
  }
  return selection;
}

void write_pcr_selection(ByteBuilder& out, const PcrSelection& selection) {
  out.u32be(static_cast<std::uint32_t>(selection.banks.size()));
  for (const auto& bank : selection.banks) {
    out.u16be(static_cast<std::uint16_t>(bank.algorithm)).u8(select_size);
    for (unsigned i = 0; i < select_size; ++i) {
      out.u8(static_cast<std::uint8_t>(bank.registers >> (8 * i)));
    }
  }
}

Bytes finish(ByteBuilder& out) {
  auto bytes = out.finish("a TPM structure");
  if (!bytes.ok()) panic("a TPM structure larger than its kind can be");
  return std::move(bytes).value();
}

}  // namespace cs::tpm
