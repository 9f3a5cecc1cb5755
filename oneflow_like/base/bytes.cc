#include "oneflow_like/base/bytes.h"

#include <openssl/evp.h>
#include <bit>
#include <boost/crc.hpp>

#include "oneflow_like/base/check.h"

namespace ofl {

static_assert(std::endian::native == std::endian::little,
              "wire and plan formats are little-endian");

namespace {
EVP_MD_CTX* Context(void* context) { return static_cast<EVP_MD_CTX*>(context); }

uint32_t ReverseBits(uint32_t value) {
  uint32_t reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= ((value >> bit) & 1u) << (31 - bit);
  return reversed;
}
}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  OFL_CHECK(EVP_DigestInit_ex(Context(context_), EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() { EVP_MD_CTX_free(Context(context_)); }

void Sha256::Add(std::string_view field) {
  AddInt(static_cast<int64_t>(field.size()));
  OFL_CHECK(EVP_DigestUpdate(Context(context_), field.data(), field.size()) == 1);
}

void Sha256::AddInt(int64_t value) {
  std::byte bytes[sizeof value];
  StoreLe(bytes, value);
  OFL_CHECK(EVP_DigestUpdate(Context(context_), bytes, sizeof bytes) == 1);
}

std::string Sha256::HexDigest() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  OFL_CHECK(EVP_DigestFinal_ex(Context(context_), digest, &size) == 1);
  static const char kHex[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kHex[digest[i] >> 4];
    text += kHex[digest[i] & 15];
  }
  return text;
}

uint32_t Crc32c(ConstBytes bytes, uint32_t seed) {
  // Boost's CRC with the Castagnoli polynomial, reflected and complemented. Its constructor takes
  // the remainder to start from unreflected; `seed` is a finished value.
  using Crc = boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true>;
  Crc crc(ReverseBits(~seed));
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

}  // namespace ofl
