"""Schemas of published datasets, and what a careful expert of Sentence Transformers would say that each of them is.

Written from memory of dataset cards, competitions and repositories, without a look at how formats are detected. The
values are made up, of the kinds that the real columns hold.

An entry is `name: answer :: columns`; the notation of the columns is that of `tests/published_values.py`. An answer is
`shape/label: inputs > label column`. `|` parts kinds of labels and `||` whole answers that are right alike; `<>` says
that the order of the inputs does not matter, and `@x` that the label x is the positive one. `may` stands before an
answer that can be told or not; `?` where nobody can tell from names and values, with the readings to argue about.
"""

# ruff: noqa: RUF001
from tests.published_values import read_table

PUBLISHED = read_table("""
# Duplicates, paraphrases, similarity
quora question pairs, kaggle: pair/binary: question1, question2 > is_duplicate :: id=index; qid1=int 1 99999;
  qid2=int 1 99999; question1=q; question2=~question1; is_duplicate=0|1
quora triplets: triplet/none: anchor, positive, negative :: anchor=q; positive=~anchor; negative=q
stsb_multi_mt de: pair/similarity: sentence1, sentence2 > similarity_score :: sentence1=s.de; sentence2=s.de;
  similarity_score=float 0 5
SICK: ? pair/similarity: sentence_A, sentence_B > relatedness_score ||
  pair/class: sentence_A, sentence_B > entailment_judgment :: pair_ID=index; sentence_A=s; sentence_B=~sentence_A;
  relatedness_score=float 1 5; entailment_judgment=NEUTRAL|ENTAILMENT|CONTRADICTION
PAWS: pair/binary: sentence1, sentence2 > label :: id=index; sentence1=s20; sentence2=~sentence1; label=!0|1
MRPC as published: ? pair/binary: #1 String, #2 String > Quality :: Quality=0|1; #1 ID=int 1000 99999;
  #2 ID=int 1000 99999; #1 String=s20; #2 String=~#1 String
PIT 2015: ? :: Topic_Id=int 1 99; Topic_Name=5*n; Sent_1=s; Sent_2=~Sent_1; Label=(3, 2)|(0, 5)|(5, 0)|(1, 4)
SemEval 2022 task 8: ? :: pair_id=id p; url1_lang=en|de|es; url2_lang=en|de|es; link1=url; link2=url;
  Geography=float 1 4; Entities=float 1 4; Time=float 1 4; Narrative=float 1 4; Overall=float 1 4; Style=float 1 4;
  Tone=float 1 4
BIOSSES: pair/similarity: sentence1, sentence2 > score :: sentence1=s20; sentence2=~sentence1; score=float 0 4
JSTS: pair/similarity: sentence1, sentence2 > label :: sentence_pair_id=index; yjcaptions_id=id 1; sentence1=s.ja;
  sentence2=~sentence1; label=float 0 5
LCQMC: pair/binary: sentence1, sentence2 > label :: sentence1=q.zh; sentence2=~sentence1; label=0|1
BQ corpus as jsonl: pair/binary: sentence1, sentence2 > label :: sentence1=q.zh; sentence2=~sentence1; label="0"|"1"
CHIP-STS: pair/binary: text1, text2 > label :: id=index; text1=q.zh; text2=~text1; label="0"|"1";
  category=diabetes|hepatitis|hypertension|copd
KUAKE-QQR: ? pair/class: query1, query2 > label || pair/similarity: query1, query2 > label :: id=id s; query1=t3.zh;
  query2=~query1; label="0"|"1"|"2"
opusparcus: pair/similarity: sent1, sent2 > annot_score :: lang=|de; sent1=s5.de; sent2=s5.de;
  annot_score=1.0|1.5|2.0|2.5|3.0|3.5|4.0; gem_id=id g
paraphraser.ru: ? :: id=index; id_1=int 100 9999; id_2=int 100 9999; text_1=h.ru; text_2=~text_1; jaccard=float 0 1;
  class="-1"|"0"|"1"
paranmt detox: pair/similarity: reference, translation > similarity <> :: reference=s; translation=~reference;
  similarity=float 0.5 1; lenght_diff=float 0 0.4; ref_tox=float 0 1; trn_tox=float 0 1
stackexchange duplicate titles: pair/none: title1, title2 <> :: title1=q; title2=~title1
stackexchange duplicate posts: pair/none: post1, post2 <> :: post1=b; post2=~~post1
same question, in capitals as text: pair/binary|class: s1, s2 > same_meaning @TRUE :: s1=q; s2=~s1;
  same_meaning="TRUE"|"FALSE"
LinkSO: pair/binary: q1, q2 > label :: qid1=int 1 9999; q1=q; qid2=int 1 9999; q2=~q1; label=0|1
label with its name, reversed: may pair/class: sentence1, sentence2 > label ||
  pair/binary: sentence1, sentence2 > label @0 :: sentence1=s; sentence2=~sentence1; label=0|1;
  label_name=map label same|different
label_text beside, reversed: may pair/class: text_a, text_b > label || pair/binary: text_a, text_b > label @0 ::
  text_a=s; text_b=~text_a; label=0|1; label_text=map label paraphrase|no_paraphrase
distances: ? :: sentence_a=s; sentence_b=~sentence_a; distance=float 0 2
dissimilarity: ? :: text1=s; text2=~text1; dissimilarity=float 0 1
edit distance beside a paraphrase: may pair/none: text, paraphrase <> :: text=s; paraphrase=~text;
  edit_distance=int 3 40
two floats: may pair/similarity: sentence, paraphrase > entailment_score :: sentence=s; paraphrase=~sentence;
  entailment_score=float 0 1; fluency=float 0 1
plagiarism: pair/binary: source_text, plagiarism_text > label :: source_text=s20; plagiarism_text=~source_text;
  label=0|1
US patent phrases: pair/similarity: anchor, target > score :: id=hash; anchor=5*t2; target=t2; context=A47|B12|G06|H01;
  score=0.0|0.25|0.5|0.75|1.0
SimLex-999: may pair/similarity: word1, word2 > SimLex999 :: word1=w; word2=w; POS=A|N|V; SimLex999=float 0 10
wordsim: pair/similarity: word1, word2 > similarity :: word1=w; word2=w; similarity=float 0 10
WiC: ? pair/binary: sentence1, sentence2 > label :: word=w; sentence1=s; sentence2=s; start1=int 0 20; start2=int 0 20;
  end1=int 21 40; end2=int 21 40; idx=index; label=!0|1
NSP: may pair/binary: sentence_a, sentence_b > is_next :: sentence_a=s; sentence_b=s; is_next=true|false
addresses: pair/similarity: address_1, address_2 > match_score :: address_1=h6; address_2=~address_1;
  match_score=int 0 100
companies: pair/binary|class: company_a, company_b > same_entity @yes :: company_a=n; company_b=~company_a;
  same_entity=yes|no
names, match: pair/binary: name1, name2 > match :: name1=n; name2=~name1; match=true|false
bug reports: pair/binary: bug_a, bug_b > duplicate :: bug_a_id=int 1 9999; bug_b_id=int 1 9999; bug_a=s15; bug_b=~bug_a;
  duplicate=0|1
coco captions: pair/none: caption1, caption2 <> :: caption1=s; caption2=~caption1
all captions of an image: ? :: caption_0=s; caption_1=~caption_0; caption_2=~caption_0; caption_3=~caption_0;
  caption_4=~caption_0
sentence and two paraphrases: ? :: sentence=s; paraphrase_1=~sentence; paraphrase_2=~sentence
PAWS with source and split: pair/binary: sentence1, sentence2 > label :: split=|train; source=wiki|qqp; sentence1=s;
  sentence2=~sentence1; label=0|1
similarity with much beside: pair/similarity: text1, text2 > score :: text1=s; text2=~text1; lang=en|de|fr;
  split=train|test; source=news|forum|captions; year=int 2012 2017; score=float 0 5
simple wiki: pair/none: text, simplified <> :: text=s20; simplified=~text
wikilarge: pair/none: Normal, Simple <> :: Normal=s20; Simple=~Normal
ASSET: may pair/none: original, simplifications :: original=s20; simplifications=[s]10
detoxification: may pair/none: toxic_comment, neutral_comment <> :: toxic_comment=s; neutral_comment=~toxic_comment
definitions: pair/none: word, definition :: word=w; definition=s
dictionary with example: ? :: word=w; pos=noun|verb|adj; definition=s; example=s
idioms: ? :: idiom=t4; meaning=s; example_sentence=s
synonyms: pair/none: term, synonym <> :: term=t2; synonym=t2
taxonomy: may pair/none: child, parent <> || single/class: child > parent :: child=t2; parent=8*t1
# Inference, facts, stance
SNLI: pair/class: premise, hypothesis > label :: premise=s; hypothesis=s; label=!entailment|neutral|contradiction
XNLI as published: pair/class: sentence1, sentence2 > gold_label :: language=|en;
  gold_label=neutral|contradiction|entailment; sentence1_binary_parse=s20; sentence2_binary_parse=s20; sentence1=s;
  sentence2=s; promptID=int 1 99; pairID=index; genre=facetoface|telephone; label1=neutral|entailment;
  label2=neutral|entailment; match=True|False
MNLI of GLUE: pair/class: premise, hypothesis > label :: premise=s; hypothesis=s;
  label=!entailment|neutral|contradiction; idx=index
ANLI: pair/class: premise, hypothesis > label :: uid=uuid; premise=b; hypothesis=s;
  label=!entailment|neutral|contradiction; reason=s
e-SNLI: pair/class: premise, hypothesis > label :: premise=s; hypothesis=s; label=!entailment|neutral|contradiction;
  explanation_1=s; explanation_2=s; explanation_3=s
WANLI: pair/class: premise, hypothesis > gold :: id=index; premise=s; hypothesis=s;
  gold=entailment|neutral|contradiction; genre=|generated; pairID=id 1
OCNLI: pair/class: sentence1, sentence2 > label :: level=easy|medium|hard; sentence1=s.zh; sentence2=s.zh;
  label=entailment|neutral|contradiction; label0=entailment|neutral|contradiction;
  label1=entailment|neutral|contradiction; genre=news|gov|lit; prem_id=id n; id=index
JNLI: pair/class: sentence1, sentence2 > label :: sentence_pair_id=index; yjcaptions_id=id 1; sentence1=s.ja;
  sentence2=s.ja; label=!entailment|contradiction|neutral
SciTail: pair/class|binary: premise, hypothesis > label @entails :: premise=s20; hypothesis=s; label=entails|neutral
RTE: pair/class|binary: premise, hypothesis > label @0 :: premise=b; hypothesis=s; idx=index;
  label=!entailment|not_entailment
CommitmentBank: pair/class: premise, hypothesis > label :: premise=b; hypothesis=s; idx=index;
  label=!entailment|contradiction|neutral
contract NLI: pair/class: premise, hypothesis > label :: premise=b; hypothesis=s;
  label=NotMentioned|Entailment|Contradiction; doc_id=int 1 99
NLI with register: pair/class: premise, hypothesis > label :: premise=s; hypothesis=s; label=0|1|2;
  register=formal|informal; topic=travel|government|slate
premise with three others: may n-tuple/none: premise, entailment, neutral, contradiction ||
  triplet/none: premise, entailment, contradiction :: premise=s; entailment=s; neutral=s; contradiction=s
VitaminC: pair/class: claim, evidence > label <> :: unique_id=id u; case_id=id c; claim=s; evidence=s20;
  label=SUPPORTS|REFUTES|NOT ENOUGH INFO; page=h2; revision_type=real|synthetic
SciFact pairs: pair/class: claim, evidence > label <> :: claim=s; evidence=b; label=Supports|Refutes|Neutral
FEVER: ? :: id=index; label=SUPPORTS|REFUTES|NOT ENOUGH INFO; claim=s; evidence_annotation_id=int 1 9999;
  evidence_id=int 1 9999; evidence_wiki_url=h2; evidence_sentence_id=int 0 20
climate-fever: ? :: claim_id=id 1; claim=s; claim_label=SUPPORTS|REFUTES|DISPUTED;
  evidences=[{evidence_id=id e, article=h2, evidence=s, entropy=float 0 1}]5
PubHealth: ? :: claim_id=id 1; claim=s; date_published=date; explanation=b; fact_checkers=n; main_text=b60; sources=url;
  label=!false|mixture|true
LIAR: may single/class: statement > label :: id=id j; label=!false|half-true|mostly-true|true|barely-true|pants-fire;
  statement=s; subject=economy|taxes|health; speaker=8*n; job_title=Senator|Governor|President;
  party_affiliation=republican|democrat; context=t3
FNC-1: pair/class: Headline, articleBody > Stance <> :: Headline=h; Body ID=int 1 2000;
  Stance=agree|disagree|discuss|unrelated; articleBody=b
SemEval 2016 stance: ? single/class: Tweet > Stance || pair/class: Target, Tweet > Stance :: ID=index;
  Target=Atheism|Feminist Movement|Climate Change; Tweet=s15; Stance=FAVOR|AGAINST|NONE
perspectrum: pair/class: claim, perspective > label <> :: claim=s; perspective=s; label=support|undermine
argument quality: ? :: argument=s20; topic=5*s; set=train|dev; WA=float 0 1; MACE-P=float 0 1; stance_WA=-1|1;
  stance_WA_conf=float 0 1
contradictions of clauses: ? pair/class: clause_1, clause_2 > conflict_type :: clause_1=s20; clause_2=s20;
  conflict_type=none|partial|full
DiscoveryN: pair/class: sentence1, sentence2 > label :: sentence1=s; sentence2=s;
  label=!absolutely|accordingly|actually|additionally|admittedly
PDTB: may pair/class: arg1, arg2 > sense :: arg1=s; connective=but|because|and; arg2=s;
  sense=Contingency|Comparison|Expansion|Temporal
Student answers: ? pair/similarity: reference_answer, student_answer > score :: id=id e; question=8*q;
  reference_answer=s; student_answer=s; score=0.0|0.5|1.0|2.0|3.5|4.0|5.0
SciEntsBank: ? pair/class: reference_answer, student_answer > label :: id=id e; question=8*q; reference_answer=s;
  student_answer=s; label=!correct|contradictory|partially_correct_incomplete|irrelevant
TERRa: pair/class|binary: premise, hypothesis > label @0 :: premise=b.ru; hypothesis=s.ru;
  label=!entailment|not_entailment; idx=index
ASSIN2: ? pair/similarity: premise, hypothesis > relatedness_score ||
  pair/class: premise, hypothesis > entailment_judgment :: sentence_pair_id=index; premise=s.pt; hypothesis=s.pt;
  relatedness_score=float 1 5; entailment_judgment=!NONE|ENTAILMENT
# Search and products
Home Depot: pair/similarity: search_term, product_title > relevance :: id=index; product_uid=int 100001 200000;
  product_title=h8; search_term=t3; relevance=1.0|1.33|1.67|2.0|2.33|2.67|3.0
Crowdflower search: ? pair/similarity: query, product_title > median_relevance :: id=index; query=8*t2;
  product_title=h8; product_description=b; median_relevance=1|2|3|4; relevance_variance=float 0 1.5
ESCI as published: ? :: example_id=index; query=8*t3; query_id=int 0 999; product_id=id B; product_locale=us|es|jp;
  esci_label=E|S|C|I; small_version=0|1; large_version=|1; split=train|test; product_title=h8; product_description=b;
  product_bullet_point=b; product_brand=n1; product_color=Red|Blue|Black
ESCI with gains: pair/similarity: query, product_title > score :: query=t3; query_locale=|us; product_title=h8;
  score=1.0|0.1|0.01|0.0
WANDS joined: may pair/class: query, product_name > label :: query=8*t3; query_class=Beds|Desks|Rugs; product_name=h6;
  product_class=Beds|Desks|Rugs; label=Exact|Partial|Irrelevant
grades in words: may pair/class: query, document > grade :: query=8*t3; document=b;
  grade=Perfect|Excellent|Good|Fair|Bad
relevant or not in words: pair/binary|class: query, doc > judgement @relevant :: query=8*t3; doc=b;
  judgement=relevant|not relevant
yes or no: pair/binary|class: query, passage > relevant @yes :: query=t4; passage=b; relevant=yes|no
brand and colour: pair/none: query, product_title :: query=t3; product_title=h8; brand=Acme|Nordic|Zen;
  color=red|blue|black
price: may pair/none: query, product_title :: query=t3; product_title=h8; price=float 3 400
ranks: ? :: query=5*t3; passage=b; rank=1|2|3|4
click counts: ? :: query=8*t3; title=h; url=url; clicks=int 0 5000
click-through: ? :: query=8*t3; title=h; ctr=float 0 0.4
AOL log: may single/none: Query :: AnonID=int 100 999; Query=t3; QueryTime=iso; ItemRank=1|2|3; ClickURL=url
searches and their time: may single/none: search_phrase :: search_phrase=t3; searched_at=iso
searches by user: may single/none: search_query :: user_id=hash; search_query=t3; timestamp=unix; device=mobile|desktop
clicked: may pair/none: query, clicked_title :: query=t3; clicked_title=h8
clicked and skipped: may triplet/none: query, clicked_doc, skipped_doc :: query=t3; clicked_doc=b; skipped_doc=b
BM25 scores: may pair/similarity: query, doc > bm25_score :: query=t3; doc=b; bm25_score=float 3 38
cross encoder scores: pair/similarity: query, passage > ce_score :: query_id=int 1 9999; query=q; passage=b;
  ce_score=float -10 10
confidence: ? :: query=t3; document=b; confidence=float 0.5 1
KUAKE-QTR: may pair/similarity: query, title > label :: id=id s; query=t3.zh; title=s.zh; label="0"|"1"|"2"|"3"
ANTIQUE: pair/similarity: query, document > relevance :: query_id=int 1 999; doc_id=id d; query=q; document=b;
  relevance=1|2|3|4
cross-lingual relevance: pair/similarity: query_en, document_de > relevance :: query_en=t3; document_de=b.de;
  relevance=0|1|2|3
TREC judgements: ? :: qid=int 1 99; iter=|0; docno=id d; rel=0|1|2
MTEB qrels: ? :: query-id=id q; corpus-id=id c; score=|1
BEIR queries: single/none: text :: _id=id q; text=q; metadata={lang=|en}
BEIR corpus: may pair/none: title, text :: _id=id c; title=h; text=b
Cohere wikipedia: ? :: id=index; title=h2; text=b; url=url; wiki_id=int 1 9999; views=float 10 5000;
  paragraph_id=int 0 40; langs=int 1 300; emb=vec 64
MS MARCO v1.1: ? :: answers=[s]1; passages={is_selected=[0|1]5, passage_text=[b]5, url=[url]5}; query=q; query_id=index;
  query_type=description|numeric|entity; wellFormedAnswers=[s]0
MS MARCO triplets: triplet/none: query, positive, negative :: query=q; positive=b; negative=b
MS MARCO ids: ? :: qid=int 1 99999; pos=[int 1 99999]2; neg={bm25=[int 1 99999]5}
MTEB reranking: n-tuple/none: query, positive, negative || list/binary list: query, positive, negative :: query=q;
  positive=[q]; negative=[q]10
Tevatron: may n-tuple/none: query, positive_passages, negative_passages ||
  list/binary list: query, positive_passages, negative_passages :: query_id=id q; query=q;
  positive_passages=[{docid=id d, title=h, text=b}]1; negative_passages=[{docid=id d, title=h, text=b}]4
Mr. TyDi, no negatives: may pair/none: query, positive_passages :: query_id=id q; query=q.ja;
  positive_passages=[{docid=id d, title=h.ja, text=b.ja}]1; negative_passages=[{docid=id d, text=b}]0
BGE: n-tuple/none|scores: query, pos, neg || list/scores|binary list: query, pos, neg ||
  n-tuple/scores: query, pos, neg > pos_scores :: query=q; pos=[b]1; neg=[b]7; pos_scores=[float 0.7 1]1;
  neg_scores=[float 0 0.6]7; prompt=|Represent this sentence for searching relevant passages: ; type=|normal
E5 with empty negatives: pair/none: query, pos :: query=q; pos=[b]; neg=[b]0
nomic: n-tuple/none: query, document, negative :: query=q; document=b; negative=[b]5
CoRNStack: may n-tuple/none: query, document, negatives :: query=s; document=code; document_rank=|0;
  document_score=num 0 1; negatives=[code]5; negative_scores=[num 0 1]5
MEDI: ? :: query=[b]2; pos=[b]2; neg=[b]2; task_name=gooaq|msmarco|nli
E5 instruct: triplet/none: query, positive, negative ::
  instruction=Given a question, find passages|Retrieve duplicates|Find the answer; query=q; positive=b; negative=b
task and prompt constant: triplet/none: anchor, positive, negative :: task=|retrieval; prompt=|search_query: ; anchor=q;
  positive=b; negative=b; license=|mit
constant prompt: pair/none: query, document :: prompt=|Represent the query for retrieval: ; query=q; document=b
SimCSE csv: triplet/none: sent0, sent1, hard_neg :: sent0=s; sent1=s; hard_neg=s
numbered negatives: n-tuple/none: query, pos_doc, neg_doc_1, neg_doc_2, neg_doc_3 :: query=q; pos_doc=b; neg_doc_1=b;
  neg_doc_2=b; neg_doc_3=b
hard negatives with id: n-tuple/none: anchor, positive, hard_negative_1, hard_negative_2 :: id=uuid; anchor=q;
  positive=b; hard_negative_1=b; hard_negative_2=b
two positives, a negative: ? :: query=q; positive_1=b; positive_2=b; negative=b
margins: triplet/margin: query, positive, negative > score :: query=q; positive=b; negative=b; score=float -2 18
margins by name: triplet/margin: query, pos, neg > margin :: qid=int 1 9999; query=q; pos=b; neg=b; margin=float 0 12
teacher scores of both: triplet/none|scores: query, pos, neg || triplet/scores: query, pos, neg > score_pos ::
  score_pos=float 4 11; score_neg=float -11 3; query=q; pos=b; neg=b
two documents and a number: may triplet/margin: query, doc_a, doc_b > label :: query=q; doc_a=b; doc_b=b;
  label=float -3 3
two documents, one preferred: ? :: query=q; doc_0=b; doc_1=b; preferred=0|1
LightOn ids: ? :: query_id=int 1 9999; document_ids=[int 1 9999]8; scores=[float 0 1]8
teacher lists: list/scores: query, passages > teacher_scores :: query=q; passages=[b]6; teacher_scores=[float -9 9]6
candidates with labels: list/binary list: query, candidates > labels :: query=t3; candidates=[h]5; labels=[0|1]5
products with gains: list/scores: query, products > gains :: query=t3; products=[h]5; gains=[float 0 1]5
relevant flags: list/binary list: question, retrieved > is_relevant :: qid=id q; question=q; retrieved=[b]4;
  is_relevant=[0|1]4
RankGPT: ? :: query=q; hits=[{content=b, qid=int 1 99, docid=id d, rank=int 1 99, score=float 5 20}]4
learning to rank: ? :: qid=int 1 99; relevance=0|1|2|3|4; features=[float 0 1]40
LitSearch: ? :: query_set=inline|manual; query=q; specificity=0|1; quality=0|1|2; corpusids=[int 1 999]2
expected and retrieved: ? :: query=q; expected_doc=b; retrieved_doc=b; hit=true|false
query, wrong document: ? :: query=q; wrong_document=b
query and negatives: ? :: query=q; negatives=[b]3
query and hard negative: ? :: query=q; hard_negative=b
Shopee: may single/class: title > label_group :: posting_id=id t; image=hash; image_phash=hash; title=h8;
  label_group=249114794|2937985045|2395904891|4093212188
WDC products: ? pair/binary: title_left, title_right > label :: pair_id=id p; id_left=int 1 999; brand_left=n1;
  title_left=h8; description_left=b; price_left=float 1 99; id_right=int 1 999; brand_right=n1; title_right=~title_left;
  description_right=b; price_right=float 1 99; label=0|1
titles left and right: pair/binary: title_left, title_right > label :: title_left=h8; title_right=~title_left; label=0|1
Abt-Buy pairs: ? :: ltable_id=int 0 999; rtable_id=int 0 999; label=0|1
Avito duplicates: ? :: itemID_1=int 1 999999; itemID_2=int 1 999999; isDuplicate=0|1; generationMethod=1|2|3
ids and a label in words: ? :: query_id=id q; product_id=id B; label=exact|substitute|irrelevant
# Questions and answers
WikiQA: pair/binary: question, answer > label :: question_id=id Q; question=8*q; document_title=8*h2; answer=s15;
  label=0|1
natural questions: pair/none: query, answer :: query=t7; answer=b
GooAQ as published: ? :: id=index; question=q; short_answer=t3; answer=b; answer_type=feat_snip|collection|knowledge
Amazon QA: pair/none: question, answer :: asin=id B; questionType=yes/no|open-ended; question=q; answerType=Y|N|?;
  answer=s15; answerTime=date; unixTime=unix
PubMedQA: ? :: pubid=int 100 99999; question=q; context={contexts=[b]3, labels=[BACKGROUND|RESULTS]3}; long_answer=b;
  final_decision=yes|no|maybe
SQuAD: may pair/none: question, context :: id=hash; title=5*n; context=8*b; question=q;
  answers={text=[t2]1, answer_start=[int 0 99]1}
HotpotQA: ? :: id=hash; question=q; answer=t2; type=bridge|comparison; level=hard|easy;
  context={title=[h2]3, sentences=[s]3}
TriviaQA: ? :: question=q; question_id=id t; question_source=url;
  answer={value=t2, aliases=[t2]3, type=|WikipediaEntity}
ELI5: ? :: q_id=id a; title=q; selftext=b; document=|; subreddit=|eli5;
  answers={a_id=[id b]2, text=[b]2, score=[int 1 99]2}
RACE: ? :: example_id=id h; article=b60; answer=A|B|C|D; question=q; options=[s5]4
SciQ: ? :: question=q; distractor3=t2; distractor1=t2; distractor2=t2; correct_answer=t2; support=b
CommonsenseQA: ? :: id=hash; question=q; question_concept=w; choices={label=[A|B|C|D|E]5, text=[w]5};
  answerKey=A|B|C|D|E
MedMCQA: ? :: id=uuid; question=q; opa=t2; opb=t2; opc=t2; opd=t2; cop=!a|b|c|d; choice_type=single|multi; exp=b;
  subject_name=Anatomy|Surgery
HellaSwag: ? :: ind=index; activity_label=8*t2; ctx_a=s; ctx_b=t2; ctx=s; endings=[s]4; source_id=id a;
  label="0"|"1"|"2"|"3"
COPA: ? :: premise=s; choice1=s; choice2=s; question=cause|effect; idx=index; label=!choice1|choice2
WinoGrande: ? :: sentence=s; option1=w; option2=w; answer="1"|"2"
MMLU: ? :: question=q; subject=anatomy|astronomy|law; choices=[t3]4; answer=!A|B|C|D
Kaggle LLM science exam: ? :: id=index; prompt=q; A=s; B=s; C=s; D=s; E=s; answer=A|B|C|D|E
TruthfulQA: may n-tuple/none: question, correct_answers, incorrect_answers ||
  n-tuple/none: question, best_answer, incorrect_answers :: type=Adversarial|Non-Adversarial;
  category=Misconceptions|Law|Health; question=q; best_answer=s; correct_answers=[s]3; incorrect_answers=[s]3;
  source=url
PIQA: ? :: goal=s; sol1=s; sol2=s; label=!0|1
MultiRC: ? :: paragraph=8*b; question=q; answer=t4; idx={paragraph=int 0 9, question=int 0 9, answer=int 0 9};
  label=!False|True
question, options, key: ? :: question=q; options=[t3]4; correct_option=A|B|C|D
question and key: ? :: question=q; option_a=t3; option_b=t3; option_c=t3; answer=a|b|c
question and true/false: may single/class: statement > answer :: statement=s; answer=True|False
question, wrong answers: ? :: question=q; incorrect_answers=[s]3
right and wrong answer: triplet/none: question, correct_answer, wrong_answer :: question=q; correct_answer=s;
  wrong_answer=s
upvoted and downvoted: triplet/none: title_body, upvoted_answer, downvoted_answer :: title_body=b; upvoted_answer=b;
  downvoted_answer=b
question and upvoted answer: pair/none: title_body, upvoted_answer :: title_body=b; upvoted_answer=b
accepted or not: may pair/binary: question, answer > is_accepted :: question=8*q; answer=b; is_accepted=true|false
answerable: may pair/binary: question, context > is_answerable :: question=q; context=b; is_answerable=true|false
verified answers: may pair/none: question, answer :: question=q; answer=b; verified=true|false
votes: may pair/none: question, answer :: question=q; answer=b; upvotes=int 0 500
votes called score: ? :: question=q; answer=b; score=int 0 4100
views and ids: may pair/none: question, answer :: post_id=int 1 99999; question=q; answer=b; views=int 10 50000;
  created_at=iso
FAQ with category: may pair/none: question, answer :: category=shipping|returns|account; question=q; answer=b
MedQuAD: may pair/none: question, answer :: question=q; answer=b; source=GHR|NIDDK|CDC; focus_area=t2
counselling: pair/none: Context, Response :: Context=b; Response=b
RAG triples: ? :: context=b; question=q; answer=s
RAG evaluation: ? :: question=q; contexts=[b]3; answer=s; ground_truth=s
query, passage, response: ? :: query=q; passage=b; response=s15
question and SQL: ? :: question=q; context=code; answer=sql
Spider: may pair/none: question, query <> :: db_id=concert|flights|school; query=sql; question=q
WebGPT: ? :: question={full_text=q, id=id q}; quotes_0={title=[h]2}; answer_0=b; answer_1=b; score_0=float -1 1;
  score_1=float -1 1
insurance, ids of answers: ? :: question=q; answers=[int 1 9999]2; domain=auto|life|home
Ubuntu dialogues: pair/binary: Context, Utterance > Label :: Context=b; Utterance=s; Label=0|1
user and assistant: pair/none: user_message, assistant_message :: conversation_id=uuid; user_message=q;
  assistant_message=b
feedback on answers: ? :: user_message=q; assistant_message=b; feedback=thumbs_up|thumbs_down
ChatDoctor: pair/none: input, output :: instruction=|Answer the medical questions based on the patient's description.;
  input=b; output=b
Alpaca: ? :: instruction=s; input=s; output=b; text=b60
Dolly: ? :: instruction=q; context=b; response=b; category=closed_qa|open_qa|brainstorming
instruction, output: pair/none: instruction, output :: instruction=s; output=b
Bitext: may pair/none: instruction, response :: flags=B|BQ|BLQ; instruction=q; category=ORDER|REFUND;
  intent=cancel_order|track_order|get_refund; response=b
row numbers: pair/none: input_text, output_text :: input_text=s; output_text=b; row_numbers=index
symptoms: may single/class: input_text > output_text || pair/none: input_text, output_text :: input_text=s20;
  output_text=allergy|migraine|malaria|pneumonia|acne
ShareGPT: ? :: id=id s; conversations=[{from=human|gpt, value=s}]4
HH-RLHF: ? :: chosen=b; rejected=b
UltraFeedback binarized: ? :: prompt=q; prompt_id=hash; chosen=[{content=b, role=user|assistant}]2;
  rejected=[{content=b, role=user|assistant}]2; score_chosen=float 6 10; score_rejected=float 1 5
Orca DPO pairs: triplet/none: question, chosen, rejected ::
  system=You are a helpful assistant.|Think step by step and explain.|; question=q; chosen=b; rejected=b
DPO with ratings: triplet/none|scores: prompt, chosen, rejected ||
  triplet/scores: prompt, chosen, rejected > chosen_rating :: prompt=q; chosen=b; rejected=b; chosen_rating=float 4 5;
  rejected_rating=float 1 3
SHP: ? :: post_id=id p; domain=askphysics|askbaking; upvote_ratio=float 0 1; history=b; score_A=int 1 99;
  score_B=int 1 99; human_ref_A=b; human_ref_B=b; labels=0|1; seconds_difference=float 1 9999
LMSYS: ? :: id=index; model_a=gpt-4|llama|claude; model_b=gpt-4|llama|claude; prompt=q; response_a=b; response_b=b;
  winner_model_a=0|1; winner_model_b=0|1; winner_tie=0|1
HelpSteer: ? :: prompt=q; response=b; helpfulness=0|1|2|3|4; correctness=0|1|2|3|4; coherence=0|1|2|3|4;
  verbosity=0|1|2|3|4
two answers, one preferred: ? :: question=q; answer_a=b; answer_b=b; preferred=a|b
# Classes of texts
IMDB: single/class: text > label :: text=b; label=!neg|pos
Yelp: single/class: text > label :: label=!1 star|2 stars|3 stars|4 stars|5 stars; text=b
AG news csv: ? :: Class Index=1|2|3|4; Title=h; Description=s20
DBpedia: ? single/class: content > label || pair/none: title, content :: label=!Company|Artist|Athlete|Village;
  title=h2; content=b
Yahoo answers: ? :: id=index; topic=!Society|Science|Health; question_title=q; question_content=s; best_answer=b
CLINC: single/class: text > intent :: text=s;
  intent=!restaurant_reviews|nutrition_info|account_blocked|oil_change_how|time
MASSIVE: ? :: id=index; locale=|de-DE; partition=train|dev; scenario=alarm|audio|iot;
  intent=alarm_set|audio_volume_mute|iot_hue; utt=t6.de; annot_utt=t7.de
GoEmotions: ? :: text=s; labels=[int 0 27]; id=id e
airline tweets: ? :: tweet_id=int 10000 99999; airline_sentiment=neutral|positive|negative;
  airline_sentiment_confidence=float 0 1; negativereason=Late Flight|Bad Flight|Lost Luggage; airline=United|Delta;
  retweet_count=int 0 9; text=s15; tweet_created=iso
SMS spam: single/class: v2 > v1 :: v1=ham|spam; v2=s15
disaster tweets: may single/class: text > target :: id=index; keyword=ablaze|crash|flood; location=n1; text=s15;
  target=0|1
Jigsaw: ? :: id=hash; comment_text=b; toxic=0|1; severe_toxic=0|1; obscene=0|1; threat=0|1; insult=0|1
Davidson hate speech: may single/class: tweet > class :: count=3|6|9; hate_speech=0|1|2|3; offensive_language=0|1|2|3;
  neither=0|1|2|3; class=0|1|2; tweet=s15
SetFit: single/class: text > label :: text=s; label=0|1|2|3; label_text=map label alarm|audio|iot|news
insincere questions: single/class: question_text > target :: qid=hash; question_text=q; target=0|1
sarcasm: single/class: headline > is_sarcastic :: article_link=url; headline=s; is_sarcastic=0|1
clickbait: single/class: headline > clickbait :: headline=h8; clickbait=0|1
IMDB of Kaggle: single/class: review > sentiment :: review=b; sentiment=positive|negative
clothing reviews: ? :: Clothing ID=int 1 999; Age=int 18 80; Title=h3; Review Text=b; Rating=1|2|3|4|5;
  Recommended IND=0|1; Positive Feedback Count=int 0 30; Division Name=General|Petite; Department Name=Tops|Dresses;
  Class Name=Knits|Blouses
Amazon reviews: ? :: rating=1.0|2.0|3.0|4.0|5.0; title=h3; text=b; asin=id B; user_id=hash; timestamp=unix;
  helpful_vote=int 0 9; verified_purchase=true|false
amazon_reviews_multi: ? :: review_id=id de; product_id=id p; reviewer_id=id r; stars=1|2|3|4|5; review_body=b.de;
  review_title=h3.de; language=|de; product_category=book|toy|kitchen
fake news: ? :: id=index; title=h8; author=n; text=b60; label=0|1
true and fake csv: ? :: title=h8; text=b; subject=politicsNews|worldnews; date=date
news categories: ? :: link=url; headline=h8; category=POLITICS|SPORTS|TECH; short_description=s20; authors=n; date=date
BBC: single/class: text > category :: category=business|tech|sport; text=b
BBC with title: ? :: category=business|tech|sport; filename=001.txt|002.txt|003.txt; title=h; content=b
10kGNAD: single/class: text > label :: text=b.de; label=!Web|Etat|Sport|Kultur
tnews: single/class: sentence > label :: label=100|101|102|103;
  label_desc=map label news_story|news_culture|news_sports|news_tech; sentence=s.zh; id=index
tickets: ? :: subject=h; body=b; answer=b; type=Incident|Request; queue=Technical Support|Billing; priority=low|high;
  language=en|de; tag_1=VPN|Login
ticket priority: ? single/class: message > priority || pair/none: subject, message :: subject=h; message=b;
  priority=!low|medium|high
sentiment of a title and body: ? pair/none: title, body || single/class: body > sentiment :: title=h; body=b;
  sentiment=positive|neutral|negative
emotion of a message: single/class: message > emotion :: message=s15; emotion=joy|anger|fear
several raters: ? :: text=s15; rater_1=0|1|2; rater_2=0|1|2; rater_3=0|1|2
resumes: single/class: Resume > Category :: Category=Java Developer|HR|Advocate|Arts; Resume=b60
resumes with html: may single/class: Resume_str > Category :: ID=int 1000 9999; Resume_str=b60; Resume_html=b60;
  Category=HR|DESIGNER|TEACHER
defects in code: may single/class: func > target :: id=index; func=code; target=true|false; project=FFmpeg|qemu;
  commit_id=hash
citation intent: may single/class: string > label :: string=s20; sectionName=Introduction|Methods|Results;
  label=!background|method|result; citingPaperId=hash; isKeyCitation=true|false
essays: ? :: essay_id=hash; full_text=b60; score=1|2|3|4|5|6
CommonLit: ? :: id=id c; excerpt=b60; target=float -3 1; standard_error=float 0.4 0.6
feedback prize: ? :: discourse_id=hash; essay_id=hash; discourse_text=b; discourse_type=Lead|Claim|Evidence;
  discourse_effectiveness=Adequate|Effective
paper decisions: ? :: title=h8; abstract=b; decision=Accept|Reject
reviews of papers: ? :: title=h8; review=b; rating=int 1 10; confidence=int 1 5
recipe, cuisine, rating: ? :: recipe_name=h3; ingredients=json[t2]4; cuisine=Italian|Thai|Greek; rating=1|2|3|4|5
post, reply, votes: ? :: post=b; reply=b; score=int 0 4000
log lines: ? :: timestamp=iso; level=INFO|WARN|ERROR; component=auth|db|api; message=s
topic name in the second column: single/class: text > topic :: text=b; topic=economy|climate|health|sports
wine: ? :: country=Italy|US|France; description=b; designation=n; points=int 80 100; price=float 5 90;
  variety=Merlot|Pinot Noir; winery=n
movie plots: ? :: Title=h3; Plot=b60; Genre=comedy|drama|western; Release Year=int 1920 2015
Netflix: ? :: show_id=id s; type=Movie|TV Show; title=h3; director=n; cast=n; country=India|US; date_added=date;
  rating=PG-13|TV-MA; duration=90 min|1 Season; listed_in=Dramas|Comedies; description=s20
financial phrasebank: single/class: sentence > label :: sentence=s20; label=!negative|neutral|positive
FiQA: ? :: sentence=s; snippets=json[t3]1; target=n1; sentiment_score=float -1 1; aspects=json[t2]1
allocine: single/class: review > label :: review=b.fr; label=!neg|pos
Marc-ja: single/class: sentence > label :: sentence=b.ja; label=!positive|negative; review_id=id R
eurlex: ? :: celex_id=id 3; title=h8; text=b60; eurovoc_concepts=[id c]3
# Titles, summaries, parts, texts alone
S2ORC: pair/none: title, abstract :: title=h8; abstract=b60
arXiv of Kaggle: may pair/none: title, abstract :: id=id 0; submitter=n; authors=n4; title=h8; doi=id 10.;
  categories=cs.LG|math.CO|hep-th; abstract=b60; update_date=date
SPECTER: triplet/none: query, pos, neg :: query=h8; pos=h8; neg=h8
citing abstracts: pair/none: citing_abstract, cited_abstract :: citing_abstract=b; cited_abstract=b
parts of a paper: ? :: title=h8; abstract=b; conclusion=b; keywords=t4
sections: ? :: introduction=b; methods=b; results=b
XSum: pair/none: document, summary <> :: document=b60; summary=s20; id=int 1 99999
CNN: pair/none: article, highlights <> :: article=b60; highlights=s20; id=hash
SAMSum: pair/none: dialogue, summary <> :: id=id 13; dialogue=b; summary=s20
BillSum: ? :: text=b60; summary=b; title=h8
SciTLDR: ? :: source=[s]6; source_labels=[0|1]6; paper_id=id S; target=[s]1
BigPatent: pair/none: description, abstract <> :: description=b60; abstract=b
Reddit title and body: may pair/none: title, body :: title=h8; body=b; subreddit=relationships|tifu|legaladvice
Reddit posts: ? :: id=id r; title=h8; selftext=b; subreddit=tifu|aita; score=int 0 9999; num_comments=int 0 999;
  created_utc=unix; permalink=url
Hacker News: ? :: title=h8; url=url; score=int 1 900; by=n1; time=unix
wikipedia: may pair/none: title, text :: id=id 1; url=url; title=h2; text=b60
emails: pair/none: subject, body :: message_id=hash; date=iso; subject=h; body=b
Enron spam: ? :: Message ID=index; Subject=h; Message=b; Spam/Ham=spam|ham; Date=date
title, body and time: pair/none: title, body :: title=h; body=b; created_at=iso; updated_at=iso
texts alone: single/none: text :: text=s15
jokes: single/none: Joke :: ID=index; Joke=s20
notes and their writer: may single/none: note :: note=b; created_by=anna|ben|cleo; created_on=date
quotes: ? :: quote=s; author=n; tags=[w]3
lyrics: may pair/none: song, text :: artist=8*n; song=h3; link=url; text=b60
numbered texts: ? :: text_1=s; text_2=s; text_3=s; text_4=s
three sentences: ? :: sentence1=s; sentence2=s; sentence3=s
nameless columns: may pair/none: column_1, column_2 <> :: column_1=s; column_2=s
no header, 0 and 1: pair/binary: 0, 1 > 2 :: 0=q; 1=~0; 2=0|1
sets: ? :: set=[s]3
clustering: ? :: sentences=[s]6; labels=[int 0 9]6
tokens and tags: ? :: tokens=[w]8; ner_tags=[int 0 8]8
chats: ? :: dialog=[s]4; act=[int 1 4]4; emotion=[int 0 6]4
PersonaChat: ? :: personality=[s]4; candidates=[s]6; history=[s]3; conv_id=index; utterance_idx=int 0 8
EmpatheticDialogues: ? :: conv_id=id hit; utterance_idx=1|2|3; context=sad|proud|lonely; prompt=s; speaker_idx=int 0 9;
  utterance=s; tags=|
texts with vectors: may single/embedding: text > embedding :: id=uuid; text=b; embedding=vec 64
titles with vectors: ? :: _id=id d; title=h2; text=b; openai=vec 64
sentence and teacher: single/embedding: sentence > teacher_embedding :: sentence=s; teacher_embedding=vec 64
translation with a vector: pair/embedding: english, non_english > label :: english=s; non_english=s.de; label=vec 64
places: ? :: address=h6; lat=float -90 90; lon=float -180 180
SNOMED mapping: ? :: SrcEntity=url; TgtEntity=url; Score=float 0 1
# Jobs, code, translations
resume and job, locale: pair/binary: job, resume > label || pair/binary: resume, job > label :: job=b; resume=b;
  locale=|en-GB; label=0|1
resume fit: may pair/class: resume_text, job_description_text > label :: resume_text=b60; job_description_text=b60;
  label=No Fit|Potential Fit|Good Fit
match score: pair/similarity: job_description, resume > match_score <> :: job_description=b; resume=b;
  match_score=float 0 1
job titles: may pair/none: raw_title, normalized_title <> || single/class: raw_title > normalized_title :: raw_title=t3;
  normalized_title=8*h2
skills: ? :: job_title=h2; skills=[t2]5
jobs: ? :: job_id=int 1 9999; title=h3; company=n; location=Berlin|London; description=b60; salary=int 30000 90000
hired: may pair/binary: job_posting, cv > hired <> :: job_posting=b; cv=b; hired=0|1
CodeSearchNet: may pair/none: docstring, code :: repo=n; path=url; func_name=w; original_string=code; language=|python;
  code=code; code_tokens=[w]8; docstring=s; sha=hash; url=url
CoSQA: pair/binary: doc, code > label <> :: idx=id c; doc=t6; code=code; label=0|1
StaQC: pair/none: question, snippet :: question_id=int 1 99999; question=q; snippet=code
CoNaLa: ? :: question_id=int 1 99999; intent=s; rewritten_intent=~intent; snippet=code
clones: pair/binary: func1, func2 > label :: id=index; id1=int 1 999; id2=int 1 999; func1=code; func2=code;
  label=true|false
code translation: may pair/none: java, cs <> :: id=index; java=code; cs=code
commits: pair/none: diff, message <> :: sha=hash; diff=code; message=s
GitHub issues: ? :: url=url; title=h8; body=b; labels=[bug|docs]1; state=open|closed; comments=int 0 30
OPUS: may pair/none: translation <> :: translation={de=s.de, en=s}
en and de: pair/none: en, de <> :: en=s; de=s.de
tatoeba: pair/none: sentence_en, sentence_fr <> :: id_en=int 1 9999; sentence_en=s; id_fr=int 1 9999; sentence_fr=s.fr
parallel sentences: pair/none: english, non_english :: english=s; non_english=s.es
source and target: pair/none: source_text, target_text <> :: source_lang=|eng; source_text=s; target_lang=|deu;
  target_text=s.de
FLORES: may pair/none: sentence_eng_Latn, sentence_deu_Latn <> :: id=index; URL=url; domain=wikinews|wikibooks;
  topic=disaster|health|sports; sentence_eng_Latn=s; sentence_deu_Latn=s.de
CCMatrix: may pair/similarity: source_sentence, target_sentence > laser_score ||
  pair/none: source_sentence, target_sentence :: source_sentence=s; target_sentence=s.nl; laser_score=float 1.04 1.3
WMT quality: ? :: original=s; translation=s.de; scores=[int 50 100]3; mean=float 50 100; z_mean=float -1 1
COMET: ? :: lp=en-de|en-ru; src=s; mt=s.de; ref=s.de; raw=float 0 100; score=float -2 1; annotators=1|2|3
entity linking: ? :: mention=t2; context_left=s; context_right=s; entity_title=h2; entity_description=s20
# Other languages
Frage, Antwort: pair/none: Frage, Antwort :: Nr=index; Frage=q.de; Antwort=b.de
Satz1, Satz2: pair/similarity: Satz1, Satz2 > Ähnlichkeit :: Satz1=s.de; Satz2=s.de; Ähnlichkeit=float 0 5
Suchanfrage, Produkt: pair/similarity: Suchanfrage, Produktname > Relevanz :: Suchanfrage=t3.de; Produktname=h6.de;
  Relevanz=0|1|2|3
Titel, Text, Rubrik: ? pair/none: Titel, Text || single/class: Text > Rubrik :: Titel=h.de; Text=b.de;
  Rubrik=Sport|Politik|Kultur
Prämisse, Hypothese: pair/class: Prämisse, Hypothese > Urteil :: Prämisse=s.de; Hypothese=s.de;
  Urteil=Folgerung|Neutral|Widerspruch
Stelle und Lebenslauf: pair/binary|class: Stellenanzeige, Lebenslauf > passt @ja :: Stellenanzeige=b.de;
  Lebenslauf=b.de; passt=ja|nein
Anliegen, Abteilung: single/class: Anliegen > Abteilung :: Kundennummer=int 1000 9999; Anliegen=s15.de;
  Abteilung=Vertrieb|Technik|Rechnung
Beitrag, Kommentar: ? :: Beitrag=b.de; Kommentar=s.de; Bewertung=1|2|3|4|5
Anker, Positiv, Negativ: triplet/none: Anker, Positiv, Negativ :: Anker=q.de; Positiv=b.de; Negativ=b.de
Falsche Antwort: ? :: Frage=q.de; falsche_Antwort=s.de
question, réponse: pair/none: question, réponse :: question=q.fr; réponse=b.fr
requête, produit: pair/similarity: requête, produit > pertinence :: requête=t3.fr; produit=h6.fr; langue=|fr;
  pertinence=0|1|2|3
titre, contenu, rubrique: ? :: titre=h.fr; contenu=b.fr; rubrique=sport|culture|politique
texte, catégorie: single/class: texte > catégorie :: texte=b.fr; catégorie=sport|culture|politique
avis, note: may single/class: avis > note :: avis=b.fr; note=1|2|3|4|5
article, résumé: pair/none: article, résumé <> :: article=b60.fr; résumé=s20.fr
texte source, texte cible: pair/none: texte_source, texte_cible <> :: texte_source=s.fr; texte_cible=s
prémisse, hypothèse: pair/class: prémisse, hypothèse > étiquette :: prémisse=s.fr; hypothèse=s.fr; étiquette=0|1|2
pregunta, respuesta: pair/none: pregunta, respuesta :: id=index; pregunta=q.es; respuesta=b.es
oración1, oración2: pair/similarity: oración1, oración2 > puntuación :: oración1=s.es; oración2=s.es;
  puntuación=float 0 5
consulta, producto: pair/similarity: consulta, producto > relevancia :: consulta=t3.es; producto=h6.es;
  relevancia=float 0 1
titular, cuerpo, sección: ? :: titular=h.es; cuerpo=b.es; sección=deportes|mundo|economía
reseña, sentimiento: single/class: reseña > sentimiento :: reseña=b.es; sentimiento=positivo|negativo|neutro
ancla, positivo, negativo: triplet/none: ancla, positivo, negativo :: ancla=q.es; positivo=b.es; negativo=b.es
domanda, risposta: pair/none: domanda, risposta :: domanda=q.it; risposta=b.it
frase1, frase2: pair/similarity: frase1, frase2 > punteggio :: frase1=s.it; frase2=s.it; punteggio=float 0 5
testo, etichetta: single/class: testo > etichetta :: testo=b.it; etichetta=sport|cultura|cronaca
titolo, testo, argomento: ? :: titolo=h.it; testo=b.it; argomento=sport|cultura|cronaca
pergunta, resposta: pair/none: pergunta, resposta :: pergunta=q.pt; resposta=b.pt
consulta, documento: pair/similarity: consulta, documento > relevância :: consulta=t3.pt; documento=b.pt;
  relevância=0|1|2|3
texto, rótulo: single/class: texto > rótulo :: texto=b.pt; rótulo=esporte|economia|cultura
vraag, antwoord: pair/none: vraag, antwoord :: vraag=q.nl; antwoord=b.nl
zin1, zin2: pair/similarity: zin1, zin2 > gelijkenis :: zin1=s.nl; zin2=s.nl; gelijkenis=float 0 5
titel, inhoud, categorie: ? :: titel=h.nl; inhoud=b.nl; categorie=sport|cultuur|economie
質問, 回答: pair/none: 質問, 回答 :: 質問=q.ja; 回答=b.ja
文A, 文B: pair/similarity: 文A, 文B > 類似度 :: 文A=s.ja; 文B=~文A; 類似度=float 0 5
検索クエリ: pair/similarity: 検索クエリ, 商品名 > 関連度 :: 検索クエリ=t2.ja; 商品名=s5.ja; 関連度=0|1|2|3
前提, 仮説: pair/class: 前提, 仮説 > ラベル :: 前提=s.ja; 仮説=s.ja; ラベル=含意|中立|矛盾
本文, 要約: pair/none: 本文, 要約 <> :: 本文=b.ja; 要約=s.ja
カテゴリ, タイトル: ? :: カテゴリ=スポーツ|家電|映画; タイトル=s5.ja; 本文=b.ja
テキスト, 感情: single/class: テキスト > 感情 :: テキスト=s.ja; 感情=喜び|怒り|悲しみ
livedoor: ? :: url=url; date=iso; title=s5.ja; content=b.ja; category=!movie-enter|it-life-hack|sports-watch
问题, 答案: pair/none: 问题, 答案 :: 问题=q.zh; 答案=b.zh
句子1, 句子2: pair/binary: 句子1, 句子2 > 标签 :: 句子1=s.zh; 句子2=~句子1; 标签=0|1
文本, 类别: single/class: 文本 > 类别 :: 文本=s.zh; 类别=体育|财经|科技
标题, 内容, 分类: ? :: 标题=s5.zh; 内容=b.zh; 分类=体育|财经|科技
原文, 译文: pair/none: 原文, 译文 <> :: 原文=s; 译文=s.zh
вопрос, ответ: pair/none: вопрос, ответ :: вопрос=q.ru; ответ=b.ru
запрос, документ: pair/similarity: запрос, документ > релевантность :: запрос=t3.ru; документ=b.ru;
  релевантность=0|1|2|3
текст, метка: single/class: текст > метка :: текст=b.ru; метка=спорт|культура|политика
заголовок, текст, рубрика: ? :: заголовок=h.ru; текст=b.ru; рубрика=спорт|культура|политика
предложение1, предложение2: pair/similarity: предложение1, предложение2 > оценка :: предложение1=s.ru;
  предложение2=~предложение1; оценка=float 0 5
# Found by attack, after a look at the detection
gold label as ClassLabel: pair/class: sentence1, sentence2 > gold_label :: sentence1=s; sentence2=s;
  gold_label=!entailment|neutral|contradiction
pair type: pair/class|binary: text1, text2 > pair_type @1 :: text1=s; text2=s; pair_type=!unrelated|paraphrase
topic label: single/class: text > topic_label :: text=b; topic_label=!economy|sports|science
quality of answers: ? pair/binary: question, answer > answer_quality || pair/class: question, answer > answer_quality ||
  pair/none: question, answer :: question=q; answer=s; answer_quality=good|bad
sentiment towards an entity: ? :: text=s; entity=n; sentiment=positive|negative
inference without labels, de: ? :: Prämisse=s.de; Hypothese=s.de
inference without labels, fr: ? :: prémisse=s.fr; hypothèse=s.fr
nested results: ? :: query=q; results=[{title=h, url=url}]4
locale and lists: ? :: locale=|us; sentences=[s]4; labels=[int 0 9]4
two solutions: ? :: goal=s; solution_a=s; solution_b=s; label=0|1
annotators: single/class: text > label :: text=b; annotator=A1|A2|A3; label=0|1
reviewers: may single/none: text :: text=b; reviewer=anna|ben|cleo
label and its name, in capitals: single/class: Text > Label :: Text=s; Label=0|1|2; LabelText=map Label alarm|audio|news
body before title: pair/none: title, body :: body=b; title=h
response before context: pair/none: Context, Response :: Response=b; Context=b
""")
