"""A fourth table of schemas as dataset cards have them, written and frozen before the code was looked at, then more of
the kinds that were missed.

See `tests/format_published.py` for what an entry is and `tests/published_values.py` for the notation of its columns.
"""

# ruff: noqa: RUF001
from tests.published_values import read_table

PUBLISHED_4 = read_table("""
stsb csv: pair/similarity: sentence1, sentence2 > score :: split=|train; genre=main-captions|main-forums|main-news;
  dataset=MSRvid|headlines|images; year=2012test|2013|2014; sid=int 5 216; score=float 0 5; sentence1=s; sentence2=s
qqp: pair/binary: question1, question2 > is_duplicate :: id=index; qid1=int 102 266; qid2=int 5003 5163; question1=q;
  question2=q; is_duplicate=0|1
mrpc: pair/binary: #1 String, #2 String > Quality :: Quality=0|1; #1 ID=int 70005 70163; #2 ID=int 90006 90163; #1
  String=s; #2 String=s
paws: pair/binary: sentence1, sentence2 > label :: id=int 1 24; sentence1=s; sentence2=s; label=0|1
snli jsonl: pair/class: sentence1, sentence2 > gold_label :: captionID=id n;
  gold_label=contradiction|entailment|neutral; pairID=id n; sentence1=s; sentence2=s
mnli: pair/class: premise, hypothesis > label :: promptID=int 31000 31166; pairID=id n; premise=b; hypothesis=s;
  genre=fiction|government|slate|telephone|travel; label=0|1|2
xnli fr: pair/class: sentence1, sentence2 > gold_label :: language=|fr; gold_label=contradictory|entailment|neutral;
  sentence1=s; sentence2=s.fr
korsts: pair/similarity: sentence1, sentence2 > score :: genre=main-captions|main-news;
  filename=MSRvid|headlines|images; year=2012train|2015|2016; id=int 4 118; score=float 0 5; sentence1=s.ko;
  sentence2=s.ko
kornli: pair/class: sentence1, sentence2 > gold_label :: sentence1=s.ko; sentence2=s.ko;
  gold_label=contradiction|entailment|neutral
klej cdsc-r: pair/similarity: sentence_A, sentence_B > relatedness_score :: pair_ID=int 7 163; sentence_A=s.pl;
  sentence_B=s; relatedness_score=float 0 5
klej cdsc-e: pair/class: sentence_A, sentence_B > entailment_judgment :: pair_ID=int 6 165; sentence_A=s;
  sentence_B=s.pl; entailment_judgment=CONTRADICTION|ENTAILMENT|NEUTRAL
jsts: pair/similarity: sentence1, sentence2 > label :: sentence_pair_id=id n; yjcaptions_id=id n; sentence1=s.ja;
  sentence2=s.ja; label=float 0 4
jnli: pair/class: sentence1, sentence2 > label :: sentence_pair_id=id n; yjcaptions_id=id n; sentence1=s.ja;
  sentence2=s.ja; label=contradiction|entailment|neutral
lcqmc: pair/binary: sentence1, sentence2 > label :: sentence1=q.zh; sentence2=q.zh; label=0|1
afqmc: pair/binary|class: sentence1, sentence2 > label @1 :: id=index; label=0|1; sentence1=q.zh; sentence2=q.zh
farstail: pair/class: premise, hypothesis > label :: premise=s; hypothesis=s; label=c|e|n
indonli: pair/class: premise, hypothesis > label :: premise=b; hypothesis=s; label=!entailment|neutral|contradiction
terra: pair/binary|class: premise, hypothesis > label @entailment :: premise=b.ru; hypothesis=s.ru;
  label=entailment|not_entailment; idx=index
stsb-tr: pair/similarity: sentence1, sentence2 > score :: genre=main-forums|main-news; score=float 0 5;
  sentence1=s.tr; sentence2=s.tr
stsb_multi_mt es: pair/similarity: sentence1, sentence2 > similarity_score :: sentence1=s; sentence2=s;
  similarity_score=float 0 5
rte: pair/binary|class: sentence1, sentence2 > label @entailment :: index=index; sentence1=b; sentence2=s;
  label=entailment|not_entailment
qnli hf: pair/binary|class: question, sentence > label @0 :: question=q; sentence=b; label=!entailment|not_entailment;
  idx=index
wikiqa: pair/binary: Question, Sentence > Label :: QuestionID=id Q; Question=q; DocumentID=id D; DocumentTitle=h;
  SentenceID=id D; Sentence=s; Label=0|1
esci: pair/class|similarity: query, product_title > esci_label :: example_id=index; query=a detailed plan for cheaper
  housing|a letter that nobody had expected|a small bridge over the river|the damaged roof of the school|the first
  electric bus in the region|three paintings from the nineteenth century; query_id=int 7 165; product_id=id B;
  product_locale=es|jp|us; esci_label=C|E|I|S; small_version=0|1; large_version=|1; split=test|train; product_title=h
home depot: pair/similarity: search_term, product_title > relevance :: id=int 6 163; product_uid=int 100004 100168;
  product_title=h; search_term=h; relevance=float 1 3
us patent phrase: pair/similarity: anchor, target > score :: id=hash; anchor=abatement of pollution|act as a
  spring|metal foil layer|optical fiber cable|water supply valve; target=h; context=id G; score=float 0 1
biosses: pair/similarity: sentence1, sentence2 > score :: sentence1=s; sentence2=s; score=float 0 4
msmarco triplets: triplet/none: query, positive, negative :: query=q; positive=b; negative=b
simcse nli: triplet/none: sent0, sent1, hard_neg :: sent0=s; sent1=s; hard_neg=s
bge: list/binary list: query, pos, neg || n-tuple/none: query, pos, neg :: query=q.zh; pos=[b.zh]; neg=[b.zh]
bge scores: list/scores: query, pos, neg :: query=q; pos=[b]2; neg=[b]3; pos_scores=[float 5 12]2; neg_scores=[float
  -9 3]3; prompt=|Represent this sentence for searching relevant passages:
mteb rerank: list/binary list: query, positive, negative || n-tuple/none: query, positive, negative :: query=h;
  positive=[h]; negative=[h]
msmarco margin: triplet/margin: query, positive, negative > score :: query=q; positive=b; negative=b; score=float -1
  15
distill lists: list/scores|binary list: query, documents > scores :: query=q; documents=[b]4; scores=[float -8 10]4
rank labels: list/scores|binary list: question, answers > labels :: question=q; answers=[s]3; labels=[0|1]3
quora anchors: n-tuple/none: anchor, positive, negative_1, negative_2, negative_3 :: anchor=q; positive=q;
  negative_1=q; negative_2=q; negative_3=q
miracl es: triplet/none: query, positive, negative :: query_id=id es; query=q; positive=b.es; negative=b.es
medquad: pair/none: Question, Answer :: qtype=causes|information|symptoms|treatment; Question=q; Answer=b
ag_news: single/class: text > label :: text=b; label=!World|Sports|Business|Sci/Tech
banking77 csv: single/class: text > category :: text=q;
  category=card_arrival|exchange_rate|lost_or_stolen_card|pin_blocked|top_up_failed
10kgnad: single/class: text > label :: label=Kultur|Panorama|Sport|Web|Wirtschaft; text=b.de
sms spam: single/class: v2 > v1 :: v1=ham|spam; v2=s
crisis: single/class: tweet_text > class_label :: tweet_id=int 917791044158185527 917791044158187751; tweet_text=s;
  class_label=caution_and_advice|donation|infrastructure_damage|not_humanitarian
sarcasm: single/class: headline > is_sarcastic :: is_sarcastic=0|1; headline=h; article_link=url
vitaminc: pair/class: claim, evidence > label :: unique_id=hash; case_id=hash; claim=s; evidence=s; label=NOT ENOUGH
  INFO|REFUTES|SUPPORTS; page=h; revision_type=real|synthetic
opus de-en: pair/none: de, en :: de=s.de; en=s
q2q arabic: pair/binary: question1, question2 > label :: QuestionPairID=int 3 166; question1=q; question2=q; label=0|1
domande: pair/binary: domanda, risposta > corretta :: codice=id D; domanda=q; risposta=b.it; corretta=0|1
zoek: pair/class|similarity: zoekvraag, document > relevantie :: zoekvraag=q.nl; document=b.nl; relevantie=int 0 3
swedish sts: pair/similarity: mening1, mening2 > likhet :: mening1=s; mening2=s; likhet=float 0 4
hindi faq: pair/none: प्रश्न, उत्तर :: प्रश्न=q; उत्तर=b; श्रेणी=बीमा|बैंक|यात्रा
amazon_polarity: ? :: label=!negative|positive; title=h; content=b
amazon_multi de: ? :: review_id=id de; product_id=id product_de; reviewer_id=id reviewer_de; stars=int 1 5;
  review_body=b.de; review_title=h; language=|de; product_category=drugstore|home|sports|toy
foodcom: ? :: name=h; id=int 137742 137900; minutes=int 6 172; submitted=date; description=b; n_steps=int 2 20;
  rating=int 1 5
reddit votes: ? :: id=hash; title=q; selftext=b; score=int 115 4099; num_comments=int 17 300; created_utc=int
  1580001553 1580236482
race: ? :: example_id=id high; article=b; question=q; options=[h]4; answer=A|B|C|D
arc: ? :: id=id Mercury; question=q; choices=json{text=[t3]3, label=[A|B|C]3}; answerKey=A|B|C
medmcqa: ? :: question=q; opa=h; opb=h; opc=h; opd=h; cop=int 0 3; subject_name=Anatomy|Pathology|Surgery
boolq: ? :: question=q; answer=true|false; passage=b
copa: ? :: premise=s; choice1=s; choice2=s; question=cause|effect; idx=index; label=0|1
storycloze: ? :: InputStoryid=hash; InputSentence1=s; InputSentence2=s; InputSentence3=s; InputSentence4=s;
  RandomFifthSentenceQuiz1=s; RandomFifthSentenceQuiz2=s; AnswerRightEnding=1|2
sick: ? :: pair_ID=int 3 162; sentence_A=s; sentence_B=s; relatedness_score=float 1 5;
  entailment_judgment=CONTRADICTION|ENTAILMENT|NEUTRAL
rater sts: ? :: sentence1=s; sentence2=s; rater_1=int 0 5; rater_2=int 1 5; rater_3=int 0 5
qqp votes: ? :: question1=q; question2=q; annotator_1=0|1; annotator_2=0|1; annotator_3=0|1
qrels: ? :: query-id=id PLAIN; corpus-id=id MED; score=0|1|2
movielens: ? :: userId=int 6 166; movieId=int 304 462; rating=float 0 5; timestamp=int 964983098 965006358
alpaca: ? :: instruction=s; input=b; output=b
squad: ? :: id=hash; title=h; context=b; question=q; answers=json{text=[t3]3, label=[A|B|C]3}
paper sections: ? :: title=h; abstract=b; introduction=b; conclusion=b
chat: ? :: id=id conv; messages=json[{role=user|assistant, content=s}]2
civil comments: ? :: text=b; toxicity=float 0 1; severe_toxicity=float 0 1; obscene=float 0 1; threat=float 0 1;
  insult=float 0 1
tickets de: ? :: betreff=h.de; nachricht=b.de; abteilung=Buchhaltung|Technik|Vertrieb; priorität=hoch|mittel|niedrig
job postings: ? :: job_id=int 4 163; title=h; company_profile=b; description=b; requirements=b; fraudulent=0|1
essays: ? :: essay_id=hash; prompt=q; essay=b; score=int 1 6
steam: ? :: app_id=int 16 174; app_name=h; review_text=b; review_score=-1|1; review_votes=0|1
ibm rank: ? :: argument=s; topic=We should abolish the lottery|We should adopt a basic income|We should ban zoos and
  animal shows|We should subsidize public journalism; set=dev|test|train; WA=float 0 1; MACE-P=float 0 1;
  stance_WA=-1|1
noticias: ? :: titular=h; cuerpo=b.es; seccion=Cultura|Deportes|Economía|Internacional
вопросы: ? :: вопрос=q.ru; ответ=b.ru; лайки=int 49 949
avis: ? :: titre=h.fr; avis=b.fr; note=int 1 5
ja news: ? :: タイトル=h.ja; 本文=b.ja; カテゴリ=スポーツ|文化|経済
thucnews: ? :: label=!体育|财经|科技|教育; title=h.zh; content=b.zh
wrong answers: ? :: question=q; wrong_answer=s
wmt da: ? :: lp=|en-de; src=s; mt=s; ref=s; score=float -1 1; raw=float 21 91; annotators=int 1 4
beavertails: ? :: prompt=q; response=b; is_safe=true|false
helpsteer: ? :: prompt=q; response=b; helpfulness=int 0 4; correctness=int 0 4; coherence=int 0 4; verbosity=int 0 4
dailydialog pt: ? :: fala_anterior=s.pt; fala=s.pt; emoção=alegria|medo|neutro|raiva
winogrande: ? :: sentence=s; option1=Ian|Maria|Sarah|the trophy; option2=Dennis|Kevin|Natalie|the suitcase; answer=1|2
ocnli raters: ? :: level=easy|hard|medium; sentence1=s.zh; sentence2=s.zh; label0=contradiction|entailment|neutral;
  label1=contradiction|entailment|neutral; label2=contradiction|entailment|neutral; genre=news|phone|tv
bookings tr: ? :: otel=h.tr; yorum=b.tr; puan=float 2 10
climate stance: pair/class: claim, evidence > evidence_label :: claim_id=int 4 163; claim=s; evidence_id=id Wetland;
  evidence=b; evidence_label=NOT_ENOUGH_INFO|REFUTES|SUPPORTS; article=h; entropy=float 0 1
argkp: pair/binary: argument, key_point > label :: arg_id=id arg; key_point_id=kp_0_0|kp_0_1|kp_0_2|kp_0_3|kp_0_4;
  argument=s; key_point=h; topic=Assisted suicide should be a criminal offence|Homeschooling should be banned|We
  should fight urbanization; label=0|1
askubuntu dup: pair/binary|class: post_a, post_b > duplicate @yes :: post_a=q; post_b=q; duplicate=no|yes
resume job fr: pair/similarity: cv, offre > adequation :: cv=b.fr; offre=b.fr; adequation=float 0 1
entity matching: pair/binary: left_title, right_title > is_match :: ltable_id=int 5 162; rtable_id=int 5 163;
  left_title=h; right_title=h; is_match=0|1
cosqa: pair/binary: doc, code > label :: idx=id cosqa; doc=s; code=code; label=0|1
cmedqa: triplet/none: question, pos_answer, neg_answer :: question_id=int 1005 1165; question=q.zh; pos_answer=b.zh;
  neg_answer=b.zh
dpr-like de: triplet/none: frage, positiver_kontext, negativer_kontext :: frage=q; positiver_kontext=b.de;
  negativer_kontext=b.de; quelle=url
sbert margin: triplet/margin: query, pos, neg > ce_margin :: qid=int 3 167; ce_margin=float -1 14; neg=b; pos=b;
  query=q
teacher flat: pair/similarity: query, doc > ce_score :: query=q; doc=b; ce_score=float -8 10
listwise pt: list/scores|binary list: consulta, passagens > pontuacoes :: consulta=q.pt; passagens=[b.pt]4;
  pontuacoes=[float 0 1]4
intent tr: single/class: metin > niyet :: metin=q; niyet=bakiye_sorgu|havale|kart_iptal|kredi_basvuru
toxic pl: single/class: tekst > klasa :: id_tweeta=int 1000000004 1000000167; tekst=s.pl; klasa=0|1|2
faq ja: pair/none: 質問, 回答 :: ID=id Q; 質問=q.ja; 回答=b.ja; 更新日=date
nli nl shuffled: pair/class: premisse, hypothese > label :: label=gevolg|neutraal|tegenspraak; hypothese=s.nl;
  premisse=s.nl; bron=boek|krant
sts ru: pair/similarity: предложение_1, предложение_2 > оценка :: оценка=float 0 5; предложение_1=s.ru;
  предложение_2=s.ru; источник=новости|форум
para ko: pair/binary: 문장1, 문장2 > 유사여부 :: 문장1=s.ko; 문장2=s.ko; 유사여부=0|1
stance fnc: pair/class: Headline, articleBody > Stance :: Headline=h; Body ID=int 2 165; articleBody=b;
  Stance=agree|disagree|discuss|unrelated
headline pairs ar: pair/none: العنوان, النص :: العنوان=h; النص=b
simple wiki: pair/none: normal, simple :: normal=b; simple=s
parade it: pair/binary|class: frase_1, frase_2 > parafrasi @sì :: frase_1=s.it; frase_2=s; parafrasi=no|sì
different flag: ? pair/binary|class: text_a, text_b > is_different :: text_a=s; text_b=s; is_different=0|1
distance: ? pair/similarity: sentence1, sentence2 > distance :: sentence1=s; sentence2=s; distance=float 0 1
annot q: ? :: query=q; passage=b; worker_a=0|1; worker_b=0|1
likert raters: ? :: text1=s; text2=s; A1=int 1 5; A2=int 1 5; A3=int 1 5
word raters: ? :: sentence_1=s; sentence_2=s; annotator1=no|yes; annotator2=no|yes
vote counts: ? :: question1=q; question2=q; yes_votes=int 0 5; no_votes=int 0 5
prob cols: ? :: premise=s; hypothesis=s; p_entail=float 0 1; p_neutral=float 0 1; p_contra=float 0 1
quality flags: ? :: question=q; answer=b; is_helpful=0|1; is_polite=0|1
songs: ? :: artist=Elna|Kobi Lind|Nora & Tim|The Rowers; song=h; lyrics=b; genre=folk|pop|rock
laws pt: ? :: artigo=b.pt; ementa=s.pt; voto=contrário|favorável
sentiment aspect: ? :: text=s; aspect=battery life|customer service|price|screen quality;
  sentiment=negative|neutral|positive
translation errors: ? :: source=s; target=s.de; has_error=0|1
incorrect pairs: ? :: prompt=q; bad_response=b; reason=s
distractors only: ? :: stem=q; distractor_1=h; distractor_2=h
summeval: ? :: document=b; summary=s; coherence=float 1 5; consistency=float 1 5; fluency=float 1 5
grades es: may pair/similarity: pregunta, respuesta_alumno > calificacion :: pregunta=q; respuesta_alumno=s.es;
  calificacion=int 0 10
clicks: ? :: query=q; title=h; position=int 1 10; clicks=int 8 269
movie: ? :: title=h; plot=b; year=int 1951 2020; imdb_score=float 2 9
email thread: ? :: subject=h; body=b; reply=b; is_spam=0|1
debate it: ? :: tesi=s.it; replica=s.it; mi_piace=int 16 896
edits: ? :: before=s; after=s; edit_type=fact|style|typo
# Judgements of several people, and counts of them, from which a label is yet to be made
two reviewers: ? pair/similarity: sentence1, sentence2 > reviewer_1 :: sentence1=s; sentence2=s; reviewer_1=int 1 5;
  reviewer_2=int 1 5
two experts, in words: ? :: query=q; passage=b; expert_1=relevant|not relevant; expert_2=relevant|not relevant
nl, verwantschap: pair/similarity: zin_A, zin_B > verwantschap :: zin_A=s.nl; zin_B=s.nl; verwantschap=float 1 5
de, Übereinstimmung: pair/binary: titel_links, titel_rechts > uebereinstimmung :: titel_links=h.de; titel_rechts=h.de;
  uebereinstimmung=0|1; shop_links=A-Markt|B-Haus
three workers: ? :: text1=s; text2=s; worker1=true|false; worker2=true|false; worker3=true|false
de, Stimmen: ? :: text_a=s.de; text_b=s.de; ja_stimmen=int 0 9; nein_stimmen=int 0 9
counts of judgements: ? :: query=q; doc=b; n_relevant=int 0 9; n_irrelevant=int 0 9
votes of readers are none: pair/none: question, answer :: question=q; answer=b; upvotes=int 0 99; downvotes=int 0 99
one annotator's number is none: pair/none: question, answer :: question=q; answer=b; annotator=int 0 9
# Scores of one text
fr, titre et contenu: ? :: titre=h.fr; contenu=b.fr; score=float 0 1
ja, 点数: ? :: タイトル=h.ja; 本文=b.ja; 点数=float 0 5
health of a recipe: ? :: name=h; description=b; health_score=float 0 100
relevance of parts: pair/similarity: title, abstract > relevance_score :: title=h; abstract=b; relevance_score=float 0 1
teacher of parts: pair/similarity: title, body > cross_encoder_score :: title=h; body=b; cross_encoder_score=float 0 1
# Labels that are named after a text
answer label: pair/binary|class: question, answer > answer_label @relevant :: question=q; answer=b;
  answer_label=relevant|irrelevant
claim label: pair/class: claim, evidence > claim_label :: claim=s; evidence=b; claim_label=SUPPORTS|REFUTES
mood of the context: pair/none: context, response :: context=s; response=s; context_label=happy|sad|angry
# Right and wrong in more languages
de, korrekt: pair/binary: Frage, Antwort > korrekt :: Frage=q.de; Antwort=s.de; korrekt=0|1
pl, poprawna: pair/binary: pytanie, odpowiedz > poprawna :: pytanie=q.pl; odpowiedz=s.pl; poprawna=0|1
tr, dogru: pair/binary: soru, cevap > dogru :: soru=q.tr; cevap=s.tr; dogru=0|1
tr, doğru ve yanlış: triplet/none: soru, doğru_cevap, yanlış_cevap :: soru=q.tr; doğru_cevap=s.tr; yanlış_cevap=s.tr
de, korrekte und inkorrekte: triplet/none: Frage, korrekte_Antwort, inkorrekte_Antwort :: Frage=q.de;
  korrekte_Antwort=s.de; inkorrekte_Antwort=s.de
pt, correta e errada: triplet/none: pergunta, resposta_correta, resposta_errada :: pergunta=q.pt;
  resposta_correta=s.pt; resposta_errada=s.pt
""")
