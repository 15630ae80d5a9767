// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/sign_command.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/byte_writer.h"
#include "base/hex.h"
#include "nfq-signer/signature.h"
#include "tests/support/unwrap.h"

namespace cs::tpm {
namespace {

using test::get;
using Bytes = std::vector<std::uint8_t>;

constexpr std::string_view order_hex =
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

struct Answer {
  std::uint16_t tag = 0x8002;
  std::uint32_t code = 0;
  std::uint16_t scheme = 0x18;
  std::uint16_t hash = 0xb;
  Bytes r = Bytes(32, 0x11);
  Bytes s = Bytes(32, 0x22);
  Bytes after{};
  Bytes nonce = Bytes(32, 0x33);
  std::uint8_t attributes = 1;
  Bytes hmac{};

  [[nodiscard]] Bytes bytes() const {
    ByteBuilder body(4096);
    body.u16be(scheme).u16be(hash).vec16be(r).vec16be(s).bytes(after);
    const Bytes parameters = get(body.finish("parameters"));
    ByteBuilder rest(4096);
    rest.vec32be(parameters).vec16be(nonce).u8(attributes).vec16be(hmac);
    const Bytes tail = get(rest.finish("answer"));
    ByteBuilder all(4096);
    all.u16be(tag).u32be(static_cast<std::uint32_t>(10 + tail.size())).u32be(code).bytes(tail);
    return get(all.finish("answer"));
  }
};

std::string refusal(const Answer& answer) {
  const auto read = read_sign_answer(answer.bytes());
  return read.ok() ? "" : read.error().message();
}

TEST(SignCommand, IsWhatPart3Says) {
  const Bytes digest(32, 0xdd);
  EXPECT_EQ(hex_encode(sign_command({0x80000001, 0x03000000, ByteView(digest).first<32>()})),
            "80020000004900000"
            "15d80000001"
            "0000000903000000"
            "0000"
            "01"
            "0000"
            "0020" +
                std::string(64, 'd') +
                "0018000b"
                "8024400000070000");
}

TEST(SignCommand, ReadsShortNumbersAndLowersS) {
  Answer answer{.r = {7}, .s = {9, 8}};
  EcdsaSignature expected{};
  expected[31] = 7;
  expected[62] = 9;
  expected[63] = 8;
  EXPECT_EQ(get(read_sign_answer(answer.bytes())), expected);
  Bytes order = get(hex_decode(order_hex, 32));
  for (const std::uint8_t below : {std::uint8_t{1}, std::uint8_t{0x51}}) {
    answer.s = order;
    answer.s.back() = static_cast<std::uint8_t>(order.back() - below);
    const EcdsaSignature read = get(read_sign_answer(answer.bytes()));
    EXPECT_EQ(read[63], below);
    Signature same = expected;
    std::ranges::copy(answer.s, same.begin() + 32);
    lower_s(same);
    EXPECT_EQ(read, same);
  }
}

TEST(SignCommand, EachRefusalHasItsWords) {
  const Bytes order = get(hex_decode(order_hex, 32));
  const auto says = [](const Answer& answer, std::string_view words) {
    const std::string said = refusal(answer);
    EXPECT_NE(said.find(words), std::string::npos) << said << "; expected: " << words;
  };
  says({.tag = 0x8001}, "offset 0 it does not begin");
  says({.code = 0x922}, "offset 0 it does not begin");
  says({.scheme = 0x14}, "offset 14 it is not ECDSA with SHA-256");
  says({.hash = 0xc}, "offset 14 it is not ECDSA with SHA-256");
  says({.r = {}}, "signature's r: at offset 18 it is not between 1 and the order");
  says({.r = Bytes(32)}, "signature's r: at offset 18 it is not");
  says({.r = order}, "signature's r: at offset 18 it is not");
  says({.s = order}, "signature's s: at offset 52 it is not");
  says({.s = Bytes(32)}, "signature's s: at offset 52 it is not");
  says({.r = Bytes(33, 1)}, "above the limit of 32");
  says({.after = {0}}, "offset 86 it should end");
  says({.nonce = Bytes(65)}, "above the limit of 64");
  says({.attributes = 0}, "other attributes than the command's");
  says({.hmac = {1}}, "above the limit of 0");
  EXPECT_EQ(refusal({}), "");
}

TEST(SignCommand, NoPartOfAnAnswerIsAnAnswer) {
  const Bytes whole = Answer{}.bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(read_sign_answer(part).ok()) << size;
    if (size < 10) continue;
    part[5] = static_cast<std::uint8_t>(size);  // says of itself that it is whole
    EXPECT_FALSE(read_sign_answer(part).ok()) << size;
  }
}

}  // namespace
}  // namespace cs::tpm
