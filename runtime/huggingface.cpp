#include "runtime/huggingface.h"

#include <algorithm>

#include "data/io/real_numbers.h"
#include "runtime/huggingface_forms.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

// Keys of transformers that say something about the file, about generation or about other tasks.
constexpr std::array kNoted = {"architectures",        "bos_token_id", "document_bos",
                               "document_eos",         "dtype",        "eos_token_id",
                               "initializer_range",    "model_type",   "pad_token_id",
                               "transformers_version", "torch_dtype",  "_name_or_path"};
// Keys that change how a program computes, and no number.
constexpr std::array kIgnored = {"attn_mode",
                                 "auto_map",
                                 "chunk_size_feed_forward",
                                 "fuse_norm",
                                 "fuse_swiglu",
                                 "id2label",
                                 "label2id",
                                 "output_attentions",
                                 "output_hidden_states",
                                 "problem_type",
                                 "return_dict",
                                 "tokenizer_class",
                                 "torchscript",
                                 "use_bfloat16",
                                 "use_cache",
                                 "_attn_implementation",
                                 "_attn_implementation_autoset"};

template <class List>
bool holds(const List& list, const std::string& key) {
  return std::find(list.begin(), list.end(), key) != list.end();
}

WeightSource folder_weights(const fs::path& path, SafetensorsFolder&& opened,
                            const std::shared_ptr<const Model>& model) {
  struct Folder {
    SafetensorsFolder files;
    std::shared_ptr<const Model> model;  // the parameters that tensors point to
    std::map<std::string, std::vector<HuggingFaceTensor>> tensors;  // by parameter, in row order
  };
  const auto folder = std::make_shared<Folder>(Folder{std::move(opened), model, {}});
  for (HuggingFaceTensor& t : huggingface_tensors(*model))
    folder->tensors[t.parameter->name].push_back(std::move(t));
  const auto read = [folder](const std::string& name, std::uint64_t first, std::uint64_t count,
                             const WeightSource::Take& take) {
    constexpr std::uint64_t kBlock = 4 << 20;
    std::vector<std::byte> block(kBlock);
    std::uint64_t given = 0;
    for (const HuggingFaceTensor& t : folder->tensors.at(name)) {
      const auto& [file, entry] = folder->files.tensors().at(t.name);
      const std::uint64_t begin = std::max<std::uint64_t>(first, std::uint64_t(t.first_row)),
                          end = std::min<std::uint64_t>(first + count,
                                                        std::uint64_t(t.first_row + t.rows));
      if (begin >= end) continue;
      const std::uint64_t row = entry->bytes / std::uint64_t(t.rows);
      const std::uint64_t from = (begin - std::uint64_t(t.first_row)) * row,
                          bytes = (end - begin) * row;
      for (std::uint64_t done = 0; done < bytes; done += kBlock) {
        const auto part = std::span(block).first(std::min(kBlock, bytes - done));
        file->read(*entry, from + done, part);
        take(given + done, part);
      }
      given += bytes;
    }
  };
  const auto find = [folder](const std::string& name) -> std::optional<WeightSource::Facts> {
    const auto at = folder->tensors.find(name);
    if (at == folder->tensors.end()) return std::nullopt;
    const HuggingFaceTensor& first = at->second[0];
    return WeightSource::Facts{folder->files.tensors().at(first.name).entry->type,
                               stored_shape(first.parameter->shape)};
  };
  return {.path = path, .find = find, .read_rows = read};
}

std::string text_of(const std::vector<std::int64_t>& shape) {
  return Json(shape).dump();
}

// What is wrong with a folder's tensors, all of it.
std::vector<std::string> tensor_problems(const SafetensorsFolder& files, const Model& model) {
  std::vector<std::string> missing, wrong, unexpected;
  std::set<std::string> known;
  std::map<const Parameter*, StoredType> types;
  for (const HuggingFaceTensor& t : huggingface_tensors(model)) {
    known.insert(t.name);
    const auto at = files.tensors().find(t.name);
    if (at == files.tensors().end()) {
      missing.push_back("missing: " + t.name + ' ' + text_of(t.shape()));
      continue;
    }
    const SafetensorsFile::Entry& e = *at->second.entry;
    const std::string dtype(info_of(e.type).safetensors);
    if (e.shape != t.shape())
      wrong.push_back("wrong shape: " + t.name + ": expected " + text_of(t.shape()) + ", got " +
                      text_of(e.shape));
    if (!is_real(e.type) || e.type == StoredType::f64)
      wrong.push_back("wrong dtype: " + t.name + ": expected F32, BF16 or F16, got " + dtype);
    if (types.try_emplace(t.parameter, e.type).first->second != e.type)
      wrong.push_back("wrong dtype: " + t.name + ": expected that of the tensors before it, got " +
                      dtype);
  }
  for (const auto& [name, tensor] : files.tensors())
    if (!known.contains(name))
      unexpected.push_back("not expected: " + name + ' ' + text_of(tensor.entry->shape));
  std::vector<std::string> all = std::move(missing);
  all.insert(all.end(), wrong.begin(), wrong.end());
  all.insert(all.end(), unexpected.begin(), unexpected.end());
  return all;
}

std::optional<Tokenizer> folder_tokenizer(const fs::path& folder) {
  if (!path_exists(folder / kModelFileName) && !path_exists(folder / kJsonFileName))
    return std::nullopt;
  return Tokenizer::load(folder);
}

}  // namespace

std::vector<std::int64_t> HuggingFaceTensor::shape() const {
  std::vector<std::int64_t> out{rows};
  for (int i = 1; i < parameter->shape.rank(); ++i) out.push_back(parameter->shape[i]);
  return out;
}

std::vector<HuggingFaceTensor> huggingface_tensors(const Model& model) {
  return form_of(model.config()).tensors(model);
}

HuggingFaceFacts facts_of(const SavedModel& saved, StoredType type) {
  HuggingFaceFacts facts{
      .context = saved.config.batch.context, .documents = saved.documents, .type = type};
  if (!saved.tokenizer) return facts;
  facts.bos = saved.tokenizer->bos_id();
  facts.eos = saved.tokenizer->eos_id();
  return facts;
}

Json huggingface_config(const ModelConfig& model, const HuggingFaceFacts& facts) {
  const HuggingFaceForm& form = form_of(model);
  const auto id = [](std::int32_t token) { return token < 0 ? Json(nullptr) : Json(token); };
  Json config = {{"architectures", {form.architecture}},
                 {"model_type", form.model_type},
                 {"max_position_embeddings", facts.context},
                 {"bos_token_id", id(facts.bos)},
                 {"eos_token_id", id(facts.eos)},
                 {"document_bos", facts.documents.bos},
                 {"document_eos", facts.documents.eos},
                 {"torch_dtype", facts.type == StoredType::bf16 ? "bfloat16" : "float32"}};
  form.write_config(model, config);
  return config;
}

ReadHuggingFaceConfig read_huggingface_config(const Json& config, const std::string& where) {
  require(config.is_object(), Fault::input, where, ": expected an object, got ",
          config.type_name());
  const Json type = config.value("model_type", Json());
  const HuggingFaceForm* form = type.is_string() ? find_form(type.get<std::string>()) : nullptr;
  require(form, Fault::input, where, ": model_type: expected ", form_names(), ", got ",
          type.dump());
  ConfigReader reader(config);
  const Json classes = config.value("architectures", Json());
  if (!classes.is_null() &&
      (!classes.is_array() || !holds(classes, std::string(form->architecture))))
    reader.problem("architectures", Json(form->architecture).dump(), classes);
  ReadHuggingFaceConfig read;
  read.model = form->read_config(reader);
  read.facts.context = reader.whole("max_position_embeddings", 2048, 1, 1 << 24);
  read.facts.documents = {.bos = reader.flag("document_bos", true),
                          .eos = reader.flag("document_eos", true)};
  read.facts.documents_stated = config.contains("document_bos");
  std::string ignored;
  for (const auto& [key, value] : config.items()) {
    if (reader.used(key) || holds(kNoted, key)) continue;
    if (holds(kIgnored, key))
      ignored += (ignored.empty() ? "" : ", ") + key;
    else
      reader.unknown(key);
  }
  require_none(reader.problems(), Fault::input, where + ": ");
  try {
    validate(read.model);
  } catch (const Error& e) {
    fail(Fault::input, where, ": ", e.what());
  }
  if (!ignored.empty())
    read.warnings.push_back(where + ": ignored, since they change no number: " + ignored);
  return read;
}

bool is_huggingface_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path / "config.json", error) &&
         !fs::exists(path / "manifest.json", error);
}

SavedModel open_huggingface(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  const std::string text = read_file(file, kMaxConfigBytes, Links::follow);
  ReadHuggingFaceConfig read =
      read_huggingface_config(parse_json(text, file.string()), file.string());
  const auto model = std::make_shared<const Model>(read.model, ModelOptions{});
  SafetensorsFolder files = SafetensorsFolder::open(folder);
  require_none(tensor_problems(files, *model), Fault::input, folder.string() + ": ");
  SavedModel saved{.path = folder,
                   .config = {},
                   .weights = folder_weights(folder, std::move(files), model),
                   .documents = read.facts.documents,
                   .documents_stated = read.facts.documents_stated,
                   .warnings = std::move(read.warnings)};
  saved.config.model = read.model;
  saved.config.batch.context = read.facts.context;
  if (auto tokenizer = folder_tokenizer(folder))
    set_own_tokenizer(saved, std::move(*tokenizer), file.string());
  return saved;
}

}  // namespace tern
