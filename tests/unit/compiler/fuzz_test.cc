// Hostile plans: fields of good plans changed at random. The verifier refuses a plan or every rank
// can expand it; nothing crashes, overflows or takes long (a sanitizer build sees more).

#include <chrono>
#include <random>

#include "compiler/expand/expand.h"
#include "compiler/verify/verify.h"
#include "tests/unit/compiler/heads.h"

namespace ofl::compiler {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  // Changes one field somewhere below the message.
  void Change(Message* message) {
    const google::protobuf::Descriptor& type = *message->GetDescriptor();
    const FieldDescriptor* field = type.field(Below(type.field_count()));
    const Reflection& r = *message->GetReflection();
    const bool nested = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (!field->is_repeated()) {
      nested ? Change(r.MutableMessage(message, field)) : Set(message, field);
      return;
    }
    const int size = r.FieldSize(*message, field);
    const int at = size > 0 ? Below(size) : 0;
    if (size == 0 || Below(16) == 0) return Resize(message, field, size);
    nested ? Change(r.MutableRepeatedMessage(message, field, at)) : SetAt(message, field, at);
  }

 private:
  int Below(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }

  int64_t Number() {
    static constexpr int64_t kEdges[] = {
        0,         1,         -1,        2,         3,       64,  4096, -64, int64_t{1} << 40,
        INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1 << 16, 127, 63};
    return Below(2) == 0 ? kEdges[Below(std::size(kEdges))] : Below(40);
  }

  void Set(Message* m, const FieldDescriptor* f) {
    const Reflection& r = *m->GetReflection();
    switch (f->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32: return r.SetInt32(m, f, static_cast<int32_t>(Number()));
      case FieldDescriptor::CPPTYPE_INT64: return r.SetInt64(m, f, Number());
      case FieldDescriptor::CPPTYPE_BOOL: return r.SetBool(m, f, Below(2) == 0);
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return r.SetDouble(m, f, Below(2) == 0 ? std::nan("") : static_cast<double>(Number()));
      case FieldDescriptor::CPPTYPE_ENUM: return r.SetEnumValue(m, f, Below(9) - 1);
      case FieldDescriptor::CPPTYPE_STRING: return r.SetString(m, f, Text());
      default: FAIL() << "no mutation of " << f->full_name();
    }
  }

  void SetAt(Message* m, const FieldDescriptor* f, int at) {
    const Reflection& r = *m->GetReflection();
    switch (f->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return r.SetRepeatedInt32(m, f, at, static_cast<int32_t>(Number()));
      case FieldDescriptor::CPPTYPE_INT64: return r.SetRepeatedInt64(m, f, at, Number());
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return r.SetRepeatedDouble(m, f, at, static_cast<double>(Number()));
      default: FAIL() << "no mutation of " << f->full_name();
    }
  }

  // Drops the last element, swaps two, or adds one.
  void Resize(Message* m, const FieldDescriptor* f, int size) {
    const Reflection& r = *m->GetReflection();
    const int what = size > 0 ? Below(3) : 2;
    if (what == 0) return r.RemoveLast(m, f);
    if (what == 1) return r.SwapElements(m, f, Below(size), Below(size));
    switch (f->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32: return r.AddInt32(m, f, static_cast<int32_t>(Number()));
      case FieldDescriptor::CPPTYPE_INT64: return r.AddInt64(m, f, Number());
      case FieldDescriptor::CPPTYPE_DOUBLE: return r.AddDouble(m, f, static_cast<double>(Number()));
      default: break;
    }
    Message* added = r.AddMessage(m, f);
    if (size > 0) added->CopyFrom(r.GetRepeatedMessage(*m, f, Below(size)));
  }

  std::string Text() {
    static const char* const kTexts[] = {"",           "matmul",  "linear", "sum",
                                         "sgd_update", "axis",    "shape",  "../x",
                                         "reshape",    "dropout", "add",    "full"};
    return kTexts[Below(std::size(kTexts))];
  }

  std::mt19937_64 random_;
};

TEST(HostilePlans, AreRefusedOrExpand) {
  constexpr int kPlans = 20'000;
  constexpr auto kMost = std::chrono::seconds(5);
  std::vector<proto::Plan> good;
  for (auto layout : {testing::DataParallel(2), testing::TensorParallel(2), testing::Pipeline(3)})
    good.push_back(testing::CompileMlp(layout));
  good.push_back(testing::CompileTwoGenerators());
  good.push_back(testing::CompileHeads({2, false, 1}));
  int refused = 0, tried = 0;
  const auto end = std::chrono::steady_clock::now() + kMost;
  for (; tried < kPlans && std::chrono::steady_clock::now() < end; ++tried) {
    proto::Plan plan = good[static_cast<size_t>(tried) % good.size()];
    Mutator mutator(static_cast<uint64_t>(tried));
    for (int n = 0; n <= tried % 3; ++n) mutator.Change(plan.mutable_semantics());
    plan.set_hash(HashOf(plan.semantics()));
    SCOPED_TRACE("seed " + std::to_string(tried));
    auto read = ParsePlan(plan.SerializeAsString());
    ASSERT_TRUE(read.ok()) << read.status().ToString();
    EXPECT_FALSE(Summary(*read).empty());
    const Status status = VerifyPlan(*read);
    if (!status.ok()) {
      ++refused;
      EXPECT_FALSE(status.message().empty());
      continue;
    }
    for (int rank = 0; rank < read->semantics().world_size(); ++rank)
      EXPECT_TRUE(Expand(*read, rank).ok());
  }
  // Names, numbers of threads and spare capacity may change and leave a plan sound.
  EXPECT_GT(refused, tried / 2);
  RecordProperty("tried", tried);
  RecordProperty("refused", refused);
}

}  // namespace
}  // namespace ofl::compiler
